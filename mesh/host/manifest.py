"""`Manifest`: what one host launches. Plain values; `manifest_reading` makes them from `mesh.toml`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from mesh.host.restarts import RestartPolicy
from mesh.upkeep.policy import Retention

DEFAULT_FILE = "mesh.toml"
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "kb": 1024, "mb": 1024**2, "gb": 1024**3}


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process may use: `memory` such as "512MB" (address space), `nice` 0 to 19, `open_files`."""

    memory: str | int | None = None
    nice: int | None = None
    open_files: int | None = None

    @property
    def memory_bytes(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else parse_size(self.memory)


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[agents]]`: what to run, how many instances of it, in how many processes: one each, where only one is said."""

    use: str
    name: str | None = None
    instances: int | None = None
    processes: int | None = None
    capacity: int | None = None
    labels: dict[str, str] = {}
    environment: dict[str, str] = {}
    limits: Limits = Limits()

    @property
    def counts(self) -> tuple[int, int]:
        """How many instances, in how many processes."""
        instances = self.instances or self.processes or 1
        return instances, self.processes or instances


class WorkflowEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[workflows]]`: which workflow, which of its versions (all that the code has unless said), in how many processes."""

    use: str
    name: str | None = None
    versions: tuple[int, ...] = ()
    processes: int = 1
    environment: dict[str, str] = {}
    limits: Limits = Limits()


class MeshTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[mesh]`: which mesh, on which server."""

    namespace: str = "default"
    server: str | None = None
    context: str | None = None


class HostTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[host]`: this host. Times are in seconds.

    `hung_after`: no heartbeat for so long, and a process is killed and restarted. `grace`: how long a drain may take.
    `repositories`: which git repositories submitted jobs may name; the manifest's folder unless said. `health`: where
    `/healthz` and `/readyz` answer, such as "127.0.0.1:8080".
    """

    name: str | None = None
    labels: dict[str, str] = {}
    environment: dict[str, str] = {}
    repositories: tuple[str, ...] = (".",)
    health: str | None = None
    start_timeout: float = 30.0
    hung_after: float = 10.0
    grace: float = 10.0
    restarts: RestartPolicy = RestartPolicy()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole manifest. `path` is where it was read; everything relative in it is relative to that folder."""

    mesh: MeshTable = MeshTable()
    host: HostTable = HostTable()
    agents: tuple[AgentEntry, ...] = ()
    workflows: tuple[WorkflowEntry, ...] = ()
    retention: Retention = Retention()
    path: str = DEFAULT_FILE

    @property
    def folder(self) -> Path:
        """The folder it stands in."""
        return Path(self.path).absolute().parent

    @property
    def repositories(self) -> tuple[str, ...]:
        """The allowed repositories as absolute paths."""
        return tuple(str((self.folder / Path(each).expanduser()).resolve()) for each in self.host.repositories)


def parse_size(size: str | int) -> int:
    """Bytes in a size such as 1048576, "512MB" or "2G".

    Raises:
        ValueError: not a size.
    """
    found = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", str(size))
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f'{size!r} is not a size: write something like "512MB"')
    return int(found[1]) * _UNITS[found[2].lower()]
