"""`HostRecord`: what `.mesh/hosts/<name>.json` says of a host and its processes. Written by the host, read by `ps` and `down`."""

from __future__ import annotations

import os
from typing import Literal

import msgspec

from mesh.server.file_lock import FileLock
from mesh.server.process_mark import ProcessMark
from mesh.server.record import write_record
from mesh.settings.folder import MeshFolder

HostState = Literal["starting", "ready", "degraded", "draining"]


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a host. `lag` is its event loop's delay in seconds, `idle` the seconds since it handled
    something; `connected` says whether the server is within its reach."""

    process: str
    agent: str
    use: str
    state: str
    pid: int = 0
    process_started: str = ""
    restarts: int = 0
    instances: tuple[str, ...] = ()
    reason: str = ""
    lag: float | None = None
    idle: float | None = None
    handled: int = 0
    connected: bool | None = None


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A host that runs. `started_at` in Unix seconds; `process_started` tells its pid from a later one."""

    name: str
    pid: int
    process_started: str
    manifest: str
    namespace: str
    url: str
    started_at: float
    state: HostState = "starting"
    processes: tuple[ProcessRecord, ...] = ()

    @property
    def mark(self) -> ProcessMark:
        """The process itself."""
        return ProcessMark(pid=self.pid, started=self.process_started)


def live_hosts(folder: MeshFolder) -> list[HostRecord]:
    """The hosts of the folder that run now, by name."""
    records = (_read(folder, path.stem) for path in sorted(folder.hosts.glob("*.json")))
    return [record for record in records if record is not None and record.mark.alive]


def write_host(folder: MeshFolder, record: HostRecord) -> None:
    """Put the record there in one step."""
    write_record(folder.hosts / f"{record.name}.json", record)


def remove_host(folder: MeshFolder, name: str) -> None:
    """Take the record away. Again: nothing happens."""
    (folder.hosts / f"{name}.json").unlink(missing_ok=True)


def remove_own(folder: MeshFolder) -> None:
    """Take away every record of this very process, whatever it is called by now."""
    for record in live_hosts(folder):
        if record.pid == os.getpid():
            remove_host(folder, record.name)


def turn(folder: MeshFolder) -> FileLock:
    """The lock under which hosts take their names, one after the other."""
    folder.create()
    return FileLock(folder.hosts / "turn.lock")


def clear_stale(folder: MeshFolder) -> None:
    """Remove the records of hosts that were killed. Only under `turn`."""
    live = {record.name for record in live_hosts(folder)}
    for path in folder.hosts.glob("*.json"):
        if path.stem not in live:
            path.unlink(missing_ok=True)


def _read(folder: MeshFolder, name: str) -> HostRecord | None:
    try:
        return msgspec.json.decode((folder.hosts / f"{name}.json").read_bytes(), type=HostRecord)
    except (OSError, msgspec.MsgspecError):
        return None
