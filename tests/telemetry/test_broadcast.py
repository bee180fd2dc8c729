"""Telemetry on the wire: only while somebody listens, in batches, bounded; what does not fit is counted and told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from mesh.protocols.errors import Overloaded
from mesh.protocols.ports import Clock, Ids, Message
from mesh.protocols.subjects import Subjects
from mesh.telemetry.broadcast import FULL, ROOM, Broadcast
from mesh.telemetry.report import Report, Tune
from mesh.telemetry.telemetry import Telemetry
from mesh.telemetry.tuner import Tuner
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual
SUBJECTS = Subjects()


class Place:
    """A process `p` that tells, another that listens, and everything that passes on the wire."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self.server = MemoryServer(clock, ids)
        self.telemetry = Telemetry(clock.now, common={"host": "h"})
        self.bus = self.server.connect("p").bus
        self.broadcast = Broadcast(self.telemetry, self.bus, clock, SUBJECTS, "p")
        self.other = self.server.connect("other").bus
        self.wire: list[Message] = []
        self.heard: list[tuple[str, Report]] = []

    async def open(self) -> None:
        await self.broadcast.start()
        await self.server.connect("wire").bus.subscribe("mesh.default.tel.>", self.wire.append)

    async def tune(self, process: str = "") -> Tuner:
        tuner = Tuner(self.other, SUBJECTS, "other", lambda *what: self.heard.append(what), process)
        await tuner.start()
        return tuner

    @property
    def names(self) -> list[str]:
        return [told.event for _, report in self.heard for told in report.events]


@pytest.fixture
async def place(clock: Clock, ids: Ids) -> AsyncIterator[Place]:
    place = Place(clock, ids)
    await place.open()
    yield place
    await place.broadcast.stop()


async def test_nothing_is_told_while_nobody_listens(place: Place) -> None:
    place.telemetry.emit("x")
    await asyncio.sleep(60)
    assert place.wire == []
    assert not place.telemetry.heard


async def test_who_listens_hears_what_is_told_from_then_on(place: Place, clock: Clock) -> None:
    place.telemetry.emit("before")
    tuner = await place.tune()
    await until(lambda: place.broadcast.heard)
    at = clock.now()
    place.telemetry.emit("agent.call", agent="clerk", latency=0.5, url="nats://me:secret@there", odd=threading)
    await until(lambda: bool(place.heard))
    ((process, report),) = place.heard
    (told,) = report.events
    assert (process, told.event, told.at, report.dropped) == ("p", "agent.call", at, 0)
    assert told.fields | {"odd": ""} == {
        "host": "h", "agent": "clerk", "latency": 0.5, "url": "nats://[redacted]@there", "odd": "",
    }  # fmt: skip
    await tuner.close()


async def test_many_leave_together_and_in_order(place: Place) -> None:
    await place.tune()
    await until(lambda: place.broadcast.heard)
    for number in range(5000):
        place.telemetry.emit(f"n{number}", text="x" * 50)
    await until(lambda: len(place.names) == 5000)
    assert place.names == [f"n{number}" for number in range(5000)]
    assert len(place.wire) < 20
    assert max(len(each.data) for each in place.wire) < FULL + 1024


async def test_one_that_listens_and_goes_is_forgotten_after_seconds(place: Place) -> None:
    tuner = await place.tune()
    await until(lambda: place.broadcast.heard)
    await asyncio.sleep(60)
    assert place.broadcast.heard
    await tuner.close()
    await tuner.close()
    await until(lambda: not place.broadcast.heard, timeout=15)
    assert not place.telemetry.heard


async def test_only_who_is_meant_tells(place: Place) -> None:
    await place.tune("somebody-else")
    await asyncio.sleep(1)
    assert not place.broadcast.heard
    await place.tune("p")
    await until(lambda: place.broadcast.heard)


@pytest.mark.parametrize(
    "wish", [b"junk", b"[]", b'{"seconds":-1}', b'{"seconds":"x"}', b'{"process":"q"}', b"[" * 9000]
)
async def test_a_wish_that_is_none_is_ignored(place: Place, wish: bytes) -> None:
    place.other.publish(SUBJECTS.tune("other"), wish)
    await asyncio.sleep(1)
    assert not place.broadcast.heard


async def test_nobody_listens_longer_than_a_minute_without_saying_so_again(place: Place) -> None:
    place.other.publish(SUBJECTS.tune("other"), msgspec.json.encode(Tune("", 1e9)))
    await until(lambda: place.broadcast.heard)
    await asyncio.sleep(61)
    assert not place.broadcast.heard


async def test_what_is_too_large_is_dropped_and_the_next_report_says_so(place: Place) -> None:
    await place.tune()
    await until(lambda: place.broadcast.heard)
    place.telemetry.emit("huge", text="x" * (FULL + 1))
    await until(lambda: bool(place.heard))
    assert [(report.events, report.dropped) for _, report in place.heard] == [([], 1)]


async def test_what_the_connection_does_not_take_is_dropped_and_told_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.tune()
    await until(lambda: place.broadcast.heard)
    publish = place.bus.publish

    def refuse(*_: Any, **__: Any) -> None:
        raise Overloaded("too much waits")

    monkeypatch.setattr(place.bus, "publish", refuse)
    for _ in range(3):
        place.telemetry.emit("lost")
    await asyncio.sleep(1)
    monkeypatch.setattr(place.bus, "publish", publish)
    place.telemetry.emit("kept")
    await until(lambda: "kept" in place.names)
    assert place.names == ["kept"]
    assert sum(report.dropped for _, report in place.heard) == 3


async def test_threads_tell_too_and_what_waits_for_the_loop_is_bounded(place: Place) -> None:
    await place.tune()
    await until(lambda: place.broadcast.heard)

    def flood() -> None:
        for _ in range(4 * ROOM // 10_000):
            place.broadcast("flood", 0.0, {"text": "x" * 10_000})  # the virtual clock cannot be read from a thread

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()
    await until(lambda: sum(report.dropped for _, report in place.heard) > 0)
    await asyncio.sleep(1)
    dropped = sum(report.dropped for _, report in place.heard)
    assert len(place.names) + dropped == 4 * ROOM // 10_000
    assert len(place.names) * 10_000 <= ROOM


async def test_what_waits_at_the_end_is_told(place: Place) -> None:
    await place.tune()
    await until(lambda: place.broadcast.heard)
    place.telemetry.emit("last")
    await place.broadcast.stop()
    await place.broadcast.stop()
    await until(lambda: place.names == ["last"])


async def test_junk_on_a_process_telemetry_is_not_heard(place: Place) -> None:
    await place.tune()
    for data in (b"", b"junk", b"{}", b'{"events":[{}]}', b"[" * 9000):
        place.other.publish(SUBJECTS.telemetry("p"), data)
    place.other.publish(SUBJECTS.telemetry("p"), b'{"events":[{"event":"x","at":1.0,"new":2}],"more":1}')
    await until(lambda: bool(place.heard))
    assert place.names == ["x"]
