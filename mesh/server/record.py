"""`ServerRecord`: what `.mesh/server.json` says of the embedded server."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from mesh.server.process_mark import ProcessMark


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A running embedded server. `started_at` is in Unix seconds; `process_started` tells its pid from a later one, `server_name` what
    listens on its port from somebody else's."""

    url: str
    pid: int
    version: str
    store_dir: str
    port: int
    started_at: float
    server_id: str
    process_started: str
    server_name: str = ""

    @property
    def mark(self) -> ProcessMark:
        """The process itself."""
        return ProcessMark(pid=self.pid, started=self.process_started)


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Put the record there in one step: readers see the old one or the new one. Where there is no room, nothing is left of it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def read_record(path: Path) -> ServerRecord | None:
    """The record, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerRecord)
    except (OSError, msgspec.MsgspecError):
        return None
