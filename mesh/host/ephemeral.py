"""`ephemeral_host`: a team for one occasion, on a server of its own, gone at the end. The demo and one-off reviews use it.

Everything is as in `mesh up`, processes and all; only the folder is a temporary one.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mesh.host.console import Console
from mesh.host.host import Host
from mesh.host.manifest import Manifest
from mesh.server.temporary import TemporaryServer
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget


@dataclass(frozen=True, kw_only=True)
class Ephemeral:
    """What runs: how to reach it, and where its logs are while it lasts."""

    target: ServerTarget
    namespace: str
    folder: Path
    host: Host


@asynccontextmanager
async def ephemeral_host(
    manifest: Manifest,
    *,
    namespace: str,
    repositories: Sequence[Path] = (),
    below: Path | None = None,
    console: Console | None = None,
) -> AsyncIterator[Ephemeral]:
    """A temporary server with the manifest's processes, all of them ready; drained and removed afterwards.

    `repositories` are the ones that jobs may name; `below` is where the temporary folder is made.

    Raises:
        NotReady: a process did not come up; the message says which, and why.
    """
    settings = msgspec.structs.replace(manifest.host, repositories=tuple(str(each) for each in repositories))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_temporary_folder(below))
        manifest = msgspec.structs.replace(manifest, host=settings, path=str(folder / "mesh.toml"))
        server = await stack.enter_async_context(TemporaryServer(folder=folder / "server"))
        host = Host.launch(
            manifest, target=server.target, folder=MeshFolder(folder / "mesh"), namespace=namespace, console=console
        )
        await stack.enter_async_context(host)
        yield Ephemeral(target=server.target, namespace=namespace, folder=folder, host=host)


@contextmanager
def _temporary_folder(below: Path | None) -> Iterator[Path]:
    if below is not None:
        below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="team-", dir=below, ignore_cleanup_errors=True) as name:
        yield Path(name)
