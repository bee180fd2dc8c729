"""`Evidence`: what the server holds once a scenario is over, read raw and up to each stream's last message.

In a cluster that is what all servers that keep the stream agree on: right after a cut is mended, one of them may still
believe that it leads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from mesh.protocols.errors import MeshError
from mesh.protocols.job_events import decode_entry
from mesh.protocols.job_state import Recorded
from mesh.protocols.ports import Stored
from mesh.transport.connection import Connection
from mesh.transport.nats.api import call
from mesh.transport.nats.bus import NatsBus
from tests.faults.expectations import soon

READ_WITHIN = 60.0


class _State(msgspec.Struct, frozen=True):
    last_seq: int = 0


class _Replica(msgspec.Struct, frozen=True):
    current: bool = False
    offline: bool = False
    lag: int = 0


class _Group(msgspec.Struct, frozen=True):
    """Who keeps a stream of a cluster. One that leads no more, and does not know it yet, sees nobody keep up with it."""

    leader: str = ""
    replicas: tuple[_Replica, ...] = ()

    @property
    def agreed(self) -> bool:
        return bool(self.leader) and all(each.current and not each.offline and not each.lag for each in self.replicas)


class _Info(msgspec.Struct, frozen=True):
    state: _State
    cluster: _Group | None = None


class _Names(msgspec.Struct):
    streams: list[str] | None = None


@dataclass
class Evidence:
    """`journals` by job id, each in the order stored; `letters` are the dead letters; by stream, `sequences` that are there
    and the `times` (Unix seconds, by the server's clock) at which they were stored."""

    journals: dict[str, list[Recorded]] = field(default_factory=dict)
    letters: list[Stored] = field(default_factory=list)
    sequences: dict[str, set[int]] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    async def gather(cls, connection: Connection) -> Evidence:
        """Read it all."""
        found = cls()
        bus = connection.bus
        assert isinstance(bus, NatsBus)
        for stream in await soon(lambda: streams(bus), READ_WITHIN):
            stored = await _whole(connection, bus, stream)
            found.sequences[stream] = {each.sequence for each in stored}
            found.times[stream] = [each.time for each in stored]
            if "_JOB" in stream:
                for job, records in _by_job(stored):
                    found.journals[job] = records
            elif stream.endswith("_DLQ"):
                found.letters += stored
        return found


async def streams(bus: NatsBus) -> list[str]:
    """The mesh's own streams, buckets and object stores left out."""
    names = msgspec.json.decode(await call(bus, "STREAM.NAMES", {"offset": 0}), type=_Names).streams or []
    return [each for each in names if each.startswith("mesh_")]


async def _whole(connection: Connection, bus: NatsBus, stream: str) -> list[Stored]:
    async with asyncio.timeout(READ_WITHIN):
        while True:
            try:
                found = msgspec.json.decode(await call(bus, f"STREAM.INFO.{stream}"), type=_Info)
                if found.cluster is None or found.cluster.agreed:
                    stored = await connection.store.read(stream, ">")
                    if not stored or stored[-1].sequence >= found.state.last_seq:
                        return stored
            except MeshError:
                pass
            await asyncio.sleep(0.05)


def _by_job(stored: list[Stored]) -> Iterator[tuple[str, list[Recorded]]]:
    subjects: dict[str, list[Recorded]] = defaultdict(list)
    for each in stored:
        subjects[each.subject].append(Recorded(decode_entry(each.data), each.sequence, each.time))
    for subject, records in subjects.items():
        yield subject.rpartition(".")[2], records
