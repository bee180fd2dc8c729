"""`MeshFolder`: what the `.mesh/` of a working folder keeps, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = ".mesh"


@dataclass(frozen=True)
class MeshFolder:
    """The `.mesh/` of one working folder: the embedded server's record and store, the hosts' records, their logs."""

    path: Path

    @classmethod
    def of(cls, folder: Path | None = None) -> MeshFolder:
        """The `.mesh/` of a working folder (default: the current one), which need not exist yet."""
        return cls((folder or Path.cwd()).absolute() / FOLDER)

    @classmethod
    def nearest(cls, start: Path | None = None) -> MeshFolder | None:
        """The nearest one upward that has a `server.json`."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / FOLDER / "server.json").is_file():
                return cls(folder / FOLDER)
        return None

    @classmethod
    def working(cls, start: Path | None = None) -> MeshFolder:
        """The one that commands work on: the nearest upward with a server or a host in it, else that of `start` itself."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            mesh = cls(folder / FOLDER)
            if mesh.server_file.is_file() or any(mesh.hosts.glob("*.json")):
                return mesh
        return cls.of(here)

    def create(self) -> MeshFolder:
        """Make the folder, kept out of version control by itself. Again: nothing happens."""
        for part in (self.path, self.hosts, self.logs, self.server):
            part.mkdir(parents=True, exist_ok=True)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        return self

    @property
    def server_file(self) -> Path:
        """The record of the embedded server; there only while it is thought to run."""
        return self.path / "server.json"

    @property
    def server(self) -> Path:
        """The embedded server's configuration, log, lock and remembered port."""
        return self.path / "server"

    @property
    def store(self) -> Path:
        """The embedded server's JetStream store."""
        return self.path / "store"

    @property
    def hosts(self) -> Path:
        """One record a host."""
        return self.path / "hosts"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.path / "logs"
