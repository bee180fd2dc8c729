"""What is said to a job is stored, becomes one event of its journal, and whoever said it hears which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from job_scribe import DIGEST, Scribe, approval, client_of
from job_stage import Stage

from mesh.jobs.journals.streams import INBOX
from mesh.jobs.outside.approvals import open_approvals, the_approval
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.errors import KeyReused, TimedOut, UnknownJob
from mesh.protocols.job_events import (
    CancelRequested,
    InboxPassed,
    OwnerClaimed,
    Resumed,
    SignalReceived,
    Value,
    WaitOpened,
    WaitResolved,
)
from mesh.protocols.job_events import Completed as CompletedEvent
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Told:
    """A job that waits for an approval, somebody who writes down what it is told, and a handle on it."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self.stage = Stage(clock, ids)
        self.scribe: Scribe
        self.handle: JobHandle

    async def begin(self) -> None:
        await self.stage.submit()
        self.scribe = Scribe(self.stage)
        self.handle = JobHandle(client_of(self.stage), "j1")
        await self.scribe.waits(approval(), WaitOpened(key="news", kind="signal", name="news"))
        self.scribe.listen()

    async def inbox(self) -> int:
        stream = self.stage.subjects.stream(INBOX)
        return len(await self.scribe.connection.store.read(stream, self.stage.subjects.inbox("default", "j1")))


@pytest.fixture
async def told(clock: Clock, ids: Ids) -> AsyncIterator[Told]:
    made = Told(clock, ids)
    await made.begin()
    yield made
    await made.scribe.stop()


async def test_an_approval_is_answered_once_and_the_second_hears_by_whom(told: Told) -> None:
    first = await told.handle.approve("publish", digest=DIGEST, by="ann", reason="read it", timeout=10)
    assert isinstance(first.event, WaitResolved)
    assert (first.event.how, first.event.by, first.event.reason) == ("approved", "ann", "read it")
    assert (first.taken, first.why, first.status) == (True, "", "submitted")

    second = await told.handle.deny("publish", digest=DIGEST, by="bob", timeout=10)
    assert isinstance(second.event, InboxPassed)
    assert (second.taken, second.why) == (False, "'publish' was approved before by ann")


async def test_an_answer_to_another_action_changes_nothing(told: Told) -> None:
    verdict = await told.handle.approve("publish", digest="sha256:" + "00" * 32, by="ann", timeout=10)
    assert not verdict.taken
    assert "another action" in verdict.why
    assert (await told.handle.state()).open_waits[0].opened.key == "publish"


async def test_a_signal_goes_to_who_waits_or_is_kept_for_who_will(told: Told) -> None:
    waited = await told.handle.signal("news", {"n": 1}, by="ann", timeout=10)
    assert isinstance(waited.event, WaitResolved)
    assert waited.event.value is not None
    assert msgspec.json.decode(waited.event.value.inline) == {"n": 1}
    early = await told.handle.signal("other", timeout=10)
    assert isinstance(early.event, SignalReceived)
    assert [each.name for each in (await told.handle.state()).signals] == ["other"]


async def test_a_large_signal_travels_by_reference(told: Told) -> None:
    verdict = await told.handle.signal("news", "x" * 100_000, timeout=10)
    assert isinstance(verdict.event, WaitResolved)
    assert verdict.event.value is not None
    assert verdict.event.value.ref is not None
    assert verdict.event.value.ref.size == 100_002


async def test_said_again_with_the_same_key_it_is_said_once(told: Told, clock: Clock) -> None:
    first = await told.handle.signal("other", 1, key="k", timeout=10)
    await clock.sleep(60)
    second = await told.handle.signal("other", 1, key="k", timeout=10)
    assert (first.sequence, first.event) == (second.sequence, second.event)
    assert await told.inbox() == 1


async def test_signals_of_two_names_are_two_things_whatever_their_key(told: Told) -> None:
    first = await told.handle.signal("paid", 1, key="order.17", timeout=10)
    second = await told.handle.signal("shipped", 1, key="order.17", timeout=10)
    assert (first.taken, second.taken, await told.inbox()) == (True, True, 2)


async def test_something_else_under_a_key_that_was_used_is_refused(told: Told) -> None:
    await told.handle.signal("paid", {"a": 1, "b": 2}, by="ann", key="k", timeout=10)
    with pytest.raises(KeyReused, match="something else"):
        await told.handle.signal("paid", {"a": 1, "b": 3}, by="ann", key="k", timeout=10)
    assert (await told.handle.signal("paid", {"b": 2, "a": 1}, by="bob", key="k", timeout=10)).taken
    await told.handle.pause(key="k", timeout=10)
    with pytest.raises(KeyReused):
        await told.handle.pause(now=True, key="k", timeout=10)
    assert await told.inbox() == 2


async def test_a_pause_repeated_with_its_key_does_not_land_behind_a_resume(told: Told, clock: Clock) -> None:
    """Its caller heard nothing, and says it again when somebody has resumed the job, long after the server's duplicate window."""
    first = await told.handle.pause(by="ann", key="k", timeout=10)
    resumed = await told.handle.resume(by="bob", key="k", timeout=10)
    assert isinstance(resumed.event, Resumed), "a pause and a resume are two things, whatever their key"
    await clock.sleep(600)
    again = await told.handle.pause(by="ann", key="k", timeout=10)
    assert (again.event, again.sequence) == (first.event, first.sequence)
    assert (await told.handle.state()).pause is None
    assert await told.inbox() == 2
    assert (await told.handle.resume(by="bob", key="k", timeout=10)).sequence == resumed.sequence


async def test_a_cancel_repeated_with_its_key_is_told_what_it_was_told_before(told: Told) -> None:
    first = await told.handle.cancel(by="ann", key="k", timeout=10)
    again = await told.handle.cancel(by="ann", key="k", timeout=10)
    assert again.taken
    assert again.event == first.event


async def test_without_a_key_a_second_pause_is_another_pause(told: Told) -> None:
    await told.handle.pause(timeout=10)
    await told.handle.resume(timeout=10)
    assert (await told.handle.pause(timeout=10)).taken
    assert (await told.handle.state()).pause is not None


async def test_an_acknowledgement_that_was_lost_does_not_say_it_twice(told: Told) -> None:
    told.stage.server.faults.lose_acks(told.stage.subjects.inbox_filter(), 2)
    assert (await told.handle.signal("other", 1, timeout=60)).taken
    assert await told.inbox() == 1


async def test_where_nobody_knows_whether_it_is_stored_it_can_be_said_again_and_counts_once(told: Told) -> None:
    """Its acknowledgement was lost, and its caller has no more time: without the key it would be said twice."""
    told.stage.server.faults.lose_acks(told.stage.subjects.inbox_filter(), 1)
    with pytest.raises(TimedOut, match="not known") as ended:
        await told.handle.signal("paid", 1, timeout=1)
    key = ended.value.detail["key"]
    assert key in str(ended.value)
    assert (await told.handle.signal("paid", 1, key=key, timeout=10)).taken
    assert await told.inbox() == 1


async def test_cancel_pause_and_resume_are_heard(told: Told) -> None:
    assert (await told.handle.pause(by="ann", timeout=10)).taken
    state = await told.handle.state()
    assert state.pause is not None
    assert isinstance((await told.handle.resume(by="ann", timeout=10)).event, Resumed)
    assert (await told.handle.resume(timeout=10)).why == "the job is not paused"
    assert isinstance((await told.handle.cancel(by="ann", reason="enough", timeout=10)).event, CancelRequested)
    assert (await told.handle.cancel(timeout=10)).why == "the job is being cancelled already"


async def test_a_job_that_is_over_is_told_nothing(told: Told) -> None:
    null = Value(inline=msgspec.Raw(b"null"))
    await told.handle.approve("publish", digest=DIGEST, by="ann", timeout=10)
    await told.scribe.write(OwnerClaimed(process="p"), CompletedEvent(output=null), owner="p", epoch=2)
    verdict = await told.handle.cancel(timeout=10)
    assert (verdict.taken, verdict.why, verdict.sequence) == (False, "the job is completed", 0)
    assert await told.inbox() == 1


async def test_a_job_that_ends_first_is_over(told: Told) -> None:
    await told.scribe.stop()
    telling = asyncio.ensure_future(told.handle.cancel(timeout=60))
    await told.stage.clock.sleep(1)
    null = Value(inline=msgspec.Raw(b"null"))
    await told.scribe.write(OwnerClaimed(process="p"), CompletedEvent(output=null), owner="p", epoch=2)
    verdict = await telling
    assert (verdict.taken, verdict.why) == (False, "the job is completed")


async def test_where_nobody_listens_it_is_stored_all_the_same(told: Told) -> None:
    await told.scribe.stop()
    with pytest.raises(TimedOut, match="kept until a host"):
        await told.handle.cancel(timeout=5)
    assert await told.inbox() == 1


async def test_a_job_that_is_not_there_cannot_be_told(told: Told) -> None:
    with pytest.raises(UnknownJob, match="no job j2"):
        await JobHandle(client_of(told.stage, "other"), "j2").cancel(timeout=5)


async def test_approvals_are_listed_over_all_jobs(told: Told) -> None:
    await told.stage.submit("j2")
    two = Scribe(told.stage, "j2")
    await two.waits(approval("a", until=2e9), approval("b"))
    found = await open_approvals(told.stage.journals())
    assert [(each.job, each.key, each.action, each.risk, each.until) for each in found] == [
        ("j1", "publish", "publish", "high", None),
        ("j2", "a", "publish", "high", 2e9),
        ("j2", "b", "publish", "high", None),
    ]
    assert {each.digest for each in found} == {DIGEST}

    waits = (await two.state()).open_waits
    assert the_approval("j2", waits, "b").opened.key == "b"
    with pytest.raises(UnknownJob, match="several approvals: a, b"):
        the_approval("j2", waits, "")
    with pytest.raises(UnknownJob, match="no approval 'c'"):
        the_approval("j2", waits, "c")
    await told.handle.approve("publish", digest=DIGEST, by="ann", timeout=10)
    assert [each.job for each in await open_approvals(told.stage.journals())] == ["j2", "j2"]
