"""Schedules of the memory server, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mesh.protocols.errors import Refused
from mesh.protocols.ports import Clock, Ids, StreamSpec
from mesh.transport.memory.schedules import next_time
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual
SPEC = StreamSpec(name="S", subjects=("s.>",), allow_schedules=True)


@pytest.fixture
def server(clock: Clock, ids: Ids) -> MemoryServer:
    return MemoryServer(clock, ids)


async def test_a_message_is_published_exactly_at_its_time(server: MemoryServer, clock: Clock) -> None:
    store = server.connect("here").store
    await store.ensure_stream(SPEC)
    due = clock.now() + 86_400
    at = datetime.fromtimestamp(due, UTC).isoformat()
    await store.append("s.timer", b"1", headers={"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "s.due"})
    consumer = await store.consumer("S", "work", ("s.due",))
    delivery = await consumer.next(100_000)
    assert delivery is not None
    assert delivery.message.time == pytest.approx(due, abs=0.01)


async def test_a_repeating_schedule_that_was_due_often_while_the_server_was_away_is_kept_once(
    server: MemoryServer, clock: Clock
) -> None:
    store = server.connect("here").store
    await store.ensure_stream(SPEC)
    await store.append("s.timer", b"1", headers={"Nats-Schedule": "@every 10s", "Nats-Schedule-Target": "s.due"})
    server.stop()
    await clock.sleep(95.0)
    server.start()
    await clock.sleep(5.0)
    assert len(await store.read("S", "s.due")) == 1


@pytest.mark.parametrize(
    ("pattern", "seconds"), [("@every 1s", 1.0), ("@every 1m30s", 90.0), ("@every 2h", 7200.0), ("@every 1.5s", 1.5)]
)
def test_a_duration_is_read_as_the_server_reads_it(pattern: str, seconds: float) -> None:
    assert next_time(pattern, 100.0) == 100.0 + seconds


@pytest.mark.parametrize(
    "pattern", ["", "@every", "@every 1", "@every 500ms", "@at", "@at 2026-11-20T15:05:25", "0 0 * * * *"]
)
def test_what_is_no_schedule_here_is_refused(pattern: str) -> None:
    with pytest.raises(Refused):
        next_time(pattern, 100.0)
