"""What is there: the streams of an account, how much they hold, and how far their consumers are."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import BucketSpec, StreamState
from mesh.transport.nats.api import MissingConsumer, call
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.streams import bucket_stream


class _Counts(msgspec.Struct):
    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    subjects: dict[str, int] = {}


class Listed(msgspec.Struct):
    """A stream in the words of the server."""

    config: dict[str, Any]
    state: _Counts

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config["name"])

    def as_state(self) -> StreamState:
        """The same in ours."""
        limit = self.config.get("max_bytes", -1)
        return StreamState(
            name=self.name,
            storage=self.config["storage"],
            messages=self.state.messages,
            size=self.state.bytes,
            limit=limit if limit > 0 else None,
            first=self.state.first_seq,
            last=self.state.last_seq,
        )


class _Page(msgspec.Struct):
    total: int
    streams: list[Listed] | None = None
    missing: list[str] | None = None


class _Floor(msgspec.Struct):
    stream_seq: int = 0


class _Consumer(msgspec.Struct):
    ack_floor: _Floor


async def listed(bus: NatsBus, prefixes: tuple[str, ...]) -> list[StreamState]:
    """Every stream whose name begins with one of these, by name.

    Raises:
        Unavailable: one of them is there, but nobody can tell how it is now.
    """
    return [each.as_state() for each in await _listed(bus, prefixes)]


async def buckets(bus: NatsBus, prefix: str) -> list[BucketSpec]:
    """The buckets on disk whose names begin so, by name."""
    start = bucket_stream("")
    return [
        BucketSpec(name=each.name.removeprefix(start), storage="file", description=each.config.get("description", ""))
        for each in await _listed(bus, (start + prefix,))
        if each.config["storage"] == "file"
    ]


async def _listed(bus: NatsBus, prefixes: tuple[str, ...]) -> list[Listed]:
    found: list[Listed] = []
    seen = 0
    while True:
        page = msgspec.json.decode(await call(bus, "STREAM.LIST", {"offset": seen}), type=_Page)
        streams = page.streams or []
        _check_all_told(page.missing or [], prefixes)
        seen += len(streams)
        found += [each for each in streams if each.name.startswith(prefixes)]
        if not streams or seen >= page.total:
            return sorted(found, key=lambda each: each.name)


def _check_all_told(missing: list[str], prefixes: tuple[str, ...]) -> None:
    silent = sorted(name for name in missing if name.startswith(prefixes))
    if silent:
        raise Unavailable(f"nobody answers for {', '.join(silent)}: the cluster may be electing its leader; try again")


async def counts(bus: NatsBus, stream: str, subjects: str) -> dict[str, int]:
    """How many messages are stored on each matching subject; the server answers in pages."""
    found: dict[str, int] = {}
    while True:
        question = {"subjects_filter": subjects, "offset": len(found)}
        page = msgspec.json.decode(await call(bus, f"STREAM.INFO.{stream}", question), type=Listed).state.subjects
        found |= page
        if len(page) < PAGE:
            return found


PAGE = 100_000
"""How many subjects the server names in one answer."""


async def handled(bus: NatsBus, stream: str, durable: str) -> int:
    """The sequence up to which the consumer is done with everything; 0 where there is none."""
    try:
        answer = await call(bus, f"CONSUMER.INFO.{stream}.{durable}")
    except MissingConsumer:
        return 0
    return msgspec.json.decode(answer, type=_Consumer).ack_floor.stream_seq
