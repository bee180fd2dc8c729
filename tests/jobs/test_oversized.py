"""Too much is refused at once, for good and clearly, whichever way it comes; nothing is sent, and nothing tried again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals import values
from mesh.protocols.errors import BadPayload, TooLarge
from mesh.protocols.job_events import InboxPassed
from mesh.protocols.job_inbox import SendSignal, read_said
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.references import LIMIT

pytestmark = pytest.mark.virtual
LARGE = "x" * (LIMIT + 1)
TOO_LARGE = "x" * (2 * LIMIT)


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests need not move what nobody may."""
    monkeypatch.setattr(values, "LARGEST", 2 * LIMIT)


async def ended(world: World, flow: Any, value: Any = None) -> Any:
    await world.host("p", flow)
    handle = await world.submit_job(flow.name, value)
    try:
        return await handle.result(600)
    finally:
        await world.close()


async def stored(world: World) -> int:
    store = world.connect("looks").store
    return len(await (await store.objects(world.subjects.bucket("objects"))).all())


@pytest.mark.parametrize("way", ["step", "call", "result", "artifact", "object", "about"])
async def test_what_is_too_large_is_refused_where_it_arises(way: str, clock: Clock, ids: Ids) -> None:
    tried = []

    def makes(text: str) -> str:
        tried.append(text)
        return TOO_LARGE

    @workflow("large")
    async def large(job: Job) -> Any:
        if way == "step":
            await job.step("makes", makes, "a")
        if way == "call":
            await job.call("makes", "a")
        if way == "artifact":
            await job.put_artifact("too.large", TOO_LARGE)
        if way == "object":
            await job.put_object(TOO_LARGE.encode() + b"x")
        if way == "about":
            await job.approval("go", TOO_LARGE)
        return makes("a")

    world = World(clock, ids, makes=makes)
    began = clock.monotonic()
    with pytest.raises(TooLarge, match=rf"13107\d bytes, {2 * LIMIT} are allowed: keep it elsewhere"):
        await ended(world, large)
    assert len(tried) <= 1
    assert clock.monotonic() - began < 5
    assert await stored(world) == 0


async def test_what_is_large_goes_by_reference_every_way(clock: Clock, ids: Ids) -> None:
    @workflow("large")
    async def large(job: Job, text: str) -> str:
        await job.put_artifact("large", text)
        told = await job.wait("told", returns=str)
        await job.approval("go", text)
        return str(await job.call("same", await job.step("local", lambda text: text, told)))

    world = World(clock, ids, same=lambda text: text)
    await world.host("p", large)
    handle = await world.submit_job("large", LARGE)
    await clock.sleep(1)
    await handle.signal("told", LARGE, by="ann")
    await clock.sleep(1)
    (wait,) = (await handle.state()).open_waits
    await handle.approve(wait.opened.key, digest=wait.opened.digest, by="ann")
    assert await handle.result(100) == LARGE
    entries = await world.reader.read("default", handle.id)
    assert max(len(msgspec.json.encode(each.entry)) for each in entries) < LIMIT / 4
    await world.close()


async def test_an_input_that_fits_into_no_message_is_refused_before_it_is_sent(clock: Clock, ids: Ids) -> None:
    @workflow("large")
    async def large(job: Job, text: str) -> str:
        return text

    world = World(clock, ids)
    await world.host("p", large)
    with pytest.raises(TooLarge, match="fit into a message: keep it elsewhere"):
        await world.submit_job("large", "x" * world.client.bus.max_payload)
    assert await world.reader.heads() == []
    await world.close()


async def test_what_is_said_to_a_job_has_an_end(clock: Clock, ids: Ids) -> None:
    """From any client: a message that is too large is passed over, and the job goes on."""

    @workflow("waits")
    async def waits(job: Job) -> str:
        return await job.wait("told", returns=str)

    with pytest.raises(BadPayload, match="by reference"):
        read_said(b"x" * (2 * LIMIT))
    world = World(clock, ids)
    await world.host("p", waits)
    handle = await world.submit_job("waits")
    await clock.sleep(1)
    said = msgspec.json.encode(SendSignal(name="told", value=msgspec.Raw(msgspec.json.encode(TOO_LARGE))))
    await world.client.store.append(world.subjects.inbox("default", handle.id), said)
    await clock.sleep(5)
    events = [event for each in await world.reader.read("default", handle.id) for event in each.entry.events]
    assert any(isinstance(event, InboxPassed) and "by reference" in event.reason for event in events)
    with pytest.raises(TooLarge):
        await handle.signal("told", TOO_LARGE, by="ann")
    await handle.signal("told", "at last", by="ann")
    assert await handle.result(100) == "at last"
    await world.close()
