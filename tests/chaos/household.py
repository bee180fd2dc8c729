"""`Household`: one host as a person runs it: `mesh up` in a folder, with real workers under its supervision."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from mesh.host.host_record import live_hosts
from mesh.settings.folder import MeshFolder
from mesh.testing.virtual_time import until
from tests.command_line import MESH_PROCESS

ROOT = Path(__file__).parents[2]
READY_WITHIN = 120.0
GONE_WITHIN = 60.0


class Household:
    """`name` is the host's, and the folder's. `manifest` is the text of its mesh.toml."""

    def __init__(self, url: str, folder: Path, name: str, manifest: str, **environment: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "mesh.toml").write_text(manifest)
        self._name = name
        self._environment = {**os.environ, "NATS_URL": url, "PYTHONPATH": str(ROOT), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    async def up(self) -> None:
        """Start it; returns when all of its processes are ready."""
        with (self.folder / "host.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [*MESH_PROCESS, "up", "--host-name", self._name],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        await until(lambda: self.ready or self._process.poll() is not None, timeout=READY_WITHIN)  # type: ignore[union-attr]
        assert self.ready, self.log()

    async def down(self) -> int:
        """Let it drain, and see it gone; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self._process.wait, GONE_WITHIN)
        self._process = None
        return status

    @property
    def ready(self) -> bool:
        """Whether every process of it is ready."""
        return any(each.state == "ready" for each in live_hosts(MeshFolder.of(self.folder)))

    def log(self) -> str:
        """What the host said."""
        return (self.folder / "host.log").read_text(errors="replace")

    def end(self) -> None:
        """It is gone when this returns; its workers notice that, and go as well."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(GONE_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(GONE_WITHIN)
