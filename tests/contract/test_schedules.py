"""Messages that a stream publishes later: `Nats-Schedule`, in memory and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from mesh.protocols.errors import Refused
from mesh.protocols.ports import Store, Stored, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually_none


def _spec(space: str) -> StreamSpec:
    return StreamSpec(name=space, subjects=(f"{space}.>",), allow_schedules=True)


@pytest.fixture
async def store(here: Connection, space: str) -> Store:
    await here.store.ensure_stream(_spec(space))
    return here.store


def _in(seconds: float, target: str) -> Mapping[str, str]:
    moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    return {"Nats-Schedule": f"@at {moment.isoformat()}", "Nats-Schedule-Target": target}


async def _appears(store: Store, stream: str, subject: str, *, within: float = 30.0) -> Stored:
    async with asyncio.timeout(within):
        followed = store.follow(stream, subject)
        try:
            return await anext(followed)
        finally:
            await followed.aclose()  # type: ignore[attr-defined]


async def test_a_scheduled_message_is_published_to_its_target_at_its_time_and_its_schedule_is_gone(
    store: Store, space: str
) -> None:
    begun = datetime.now(UTC).timestamp()
    headers = {**_in(1.0, f"{space}.due"), "X": "y", "Nats-Msg-Id": "m1"}
    planned = await store.append(f"{space}.timer.1", b"wake up", headers=headers)
    due = await _appears(store, space, f"{space}.due")
    assert (due.data, due.sequence > planned.sequence) == (b"wake up", True)
    assert due.time - begun > 0.9
    assert dict(due.headers or {}) == {"X": "y", "Nats-Scheduler": f"{space}.timer.1", "Nats-Schedule-Next": "purge"}
    await eventually_none(lambda: store.last(space, f"{space}.timer.1"))


async def test_what_is_due_already_is_published_soon(store: Store, space: str) -> None:
    await store.append(f"{space}.timer.1", b"late", headers=_in(-60.0, f"{space}.due"))
    assert (await _appears(store, space, f"{space}.due")).data == b"late"


async def test_a_purged_schedule_is_cancelled(store: Store, space: str) -> None:
    await store.append(f"{space}.timer.1", b"cancelled", headers=_in(1.5, f"{space}.due"))
    await store.append(f"{space}.timer.2", b"kept", headers=_in(1.7, f"{space}.due"))
    assert await store.purge(space, f"{space}.timer.1") == 1
    assert (await _appears(store, space, f"{space}.due")).data == b"kept"


async def test_a_new_schedule_on_a_subject_replaces_the_one_before(store: Store, space: str) -> None:
    await store.append(f"{space}.timer.1", b"early", headers=_in(1.5, f"{space}.due"))
    await store.append(f"{space}.timer.1", b"later", headers=_in(1.7, f"{space}.due"))
    assert [stored.data for stored in await store.read(space, f"{space}.timer.1")] == [b"later"]
    assert (await _appears(store, space, f"{space}.due")).data == b"later"


async def test_a_repeating_schedule_goes_on_until_it_is_purged(store: Store, space: str) -> None:
    headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": f"{space}.due"}
    await store.append(f"{space}.timer.1", b"again", headers=headers)
    followed = store.follow(space, f"{space}.due")
    async with asyncio.timeout(30):
        assert [(await anext(followed)).data for _ in range(2)] == [b"again", b"again"]
    await followed.aclose()  # type: ignore[attr-defined]
    assert await store.purge(space, f"{space}.timer.1") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Schedule": "tomorrow", "Nats-Schedule-Target": "{space}.due"},
        {"Nats-Schedule": "@every 0.1s", "Nats-Schedule-Target": "{space}.due"},
        {"Nats-Schedule": "@at 2026-11-20T15:05:25Z"},
        {"Nats-Schedule": "@at 2026-11-20T15:05:25Z", "Nats-Schedule-Target": "{space}.timer.1"},
        {"Nats-Schedule": "@at 2026-11-20T15:05:25Z", "Nats-Schedule-Target": "elsewhere"},
    ],
)
async def test_a_schedule_that_can_never_be_kept_is_refused(
    store: Store, space: str, headers: Mapping[str, str]
) -> None:
    filled = {name: value.format(space=space) for name, value in headers.items()}
    with pytest.raises(Refused):
        await store.append(f"{space}.timer.1", b"", headers=filled)
    assert await store.read(space, f"{space}.>") == []


async def test_a_stream_without_schedules_refuses_them(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    with pytest.raises(Refused):
        await here.store.append(f"{space}.timer.1", b"", headers=_in(1.0, f"{space}.due"))


@pytest.mark.fault
async def test_a_schedule_survives_the_server(breakable: Place, space: str) -> None:
    here = await breakable.connect("here")
    await here.store.ensure_stream(_spec(space))
    await here.store.append(f"{space}.timer.1", b"survived", headers=_in(1.0, f"{space}.due"))
    await breakable.stop()
    await breakable.start()
    assert (await _appears(here.store, space, f"{space}.due")).data == b"survived"
