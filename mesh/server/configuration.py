"""The embedded server's configuration, rendered from the template beside this file."""

from __future__ import annotations

import hashlib
import os
import string
from importlib.resources import files
from pathlib import Path

FILE = "nats-server.conf"
LOG = "nats-server.log"


class _Template(string.Template):
    """`@name` stands for a value: `$` belongs to the server's own subjects."""

    delimiter = "@"


def quoted(text: str) -> str:
    """The text as a quoted string of the server's configuration language."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    return {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, char)


def server_name(store: Path) -> str:
    """The name by which a server on this store is recognised, by whatever path one comes to it."""
    return f"mesh-embedded-{hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:8]}"


def render(*, port: int, store: Path, folder: Path) -> str:
    """The whole configuration. `port` -1: any free one; it then stands in a `*.ports` file in `folder`."""
    template = _Template((files("mesh.server") / "embedded.conf").read_text("utf-8"))
    return template.substitute(
        server_name=quoted(server_name(store)),
        port=port,
        store_dir=quoted(str(store)),
        log_file=quoted(str(folder / LOG)),
        pid_file=quoted(str(folder / "nats-server.pid")),
        ports_dir=quoted(str(folder)),
    )


def write(*, port: int, store: Path, folder: Path) -> Path:
    """Render into `folder`; the path of the file. Again: written anew.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / FILE
    path.write_text(render(port=port, store=store, folder=folder), "utf-8")
    return path
