"""The writer: what it stores counts once, whatever gets lost, and only while it owns the job."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_stage import Stage

from mesh.clock import SeededIds
from mesh.jobs.journals.commits import PATIENCE
from mesh.protocols.errors import LeaseLost, TooLarge
from mesh.protocols.job_events import Completed, Progressed, StepSucceeded, Value
from mesh.protocols.job_state import fold
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import VirtualClock, run_virtual

pytestmark = pytest.mark.virtual

JOBS = "mesh.default.job.>"


def done(key: str, output: bytes = b"1") -> StepSucceeded:
    return StepSucceeded(key=key, name=key, kind="local", output=Value(inline=msgspec.Raw(output)))


async def test_a_claim_makes_the_owner_and_sets_the_jobs_clock_by_the_server(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    assert journal.state.head
    assert (journal.epoch, journal.state.head.owner, journal.state.status) == (1, "a", "running")
    claimed = journal.job_time()
    clock.shift(-600)  # type: ignore[attr-defined]
    await clock.sleep(5)
    assert journal.job_time() == pytest.approx(claimed + 5)


async def test_events_of_the_same_turn_share_an_entry(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    await asyncio.gather(*(journal.append(done(f"s{n}")) for n in range(5)))
    records = await stage.journals().read("default", "j1")
    assert [len(each.entry.events) for each in records] == [1, 1, 5]


async def test_an_entry_whose_ack_was_lost_is_found_again_and_counts_once(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    stage.server.faults.lose_acks(JOBS, 2)
    await journal.claim()
    await journal.append(done("x"))
    records = await stage.journals().read("default", "j1")
    assert len(records) == 3
    assert not fold(records).void


async def test_an_append_that_never_arrived_is_sent_again(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    stage.server.faults.lose_appends(JOBS, 3)
    await journal.claim()
    stage.server.faults.lose_appends(JOBS, 3)
    await journal.append(done("x"))
    assert fold(await stage.journals().read("default", "j1")).steps["x"].state == "succeeded"


async def test_a_deposed_owner_is_poisoned_for_good(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    first, second = await stage.journal("a"), await stage.journal("b")
    await first.claim()
    second = await stage.journal("b")
    await second.claim()
    heard: list[str] = []
    first.on_lost(lambda error: heard.append(error.code))
    results = await asyncio.gather(first.append(done("x")), first.append(done("y")), return_exceptions=True)
    assert [type(each) for each in results] == [LeaseLost, LeaseLost]
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await first.append(done("z"))
    assert heard == ["lease-lost"]
    await second.append(done("x"))
    state = fold(await stage.journals().read("default", "j1"))
    assert (state.epoch, list(state.steps), state.void) == (2, ["x"], [])


async def test_of_two_that_claim_together_one_wins(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journals = [await stage.journal(name) for name in "abcde"]
    results = await asyncio.gather(*(each.claim() for each in journals), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["LeaseLost"] * 4 + ["NoneType"]
    assert fold(await stage.journals().read("default", "j1")).epoch == 1


async def test_a_claim_that_meets_a_living_owner_gives_way(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    owner = await stage.journal("a")
    await owner.claim()
    rival = await stage.journal("b")
    await owner.append(done("x"))
    with pytest.raises(LeaseLost):
        await rival.claim()
    await owner.append(done("y"))


async def test_a_released_job_can_be_claimed_and_its_old_owner_adds_nothing(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    owner, rival = await stage.journal("a"), None
    await owner.claim()
    rival = await stage.journal("b")
    await owner.release("draining")
    with pytest.raises(LeaseLost):
        await owner.append(done("x"))
    await rival.claim()
    assert rival.epoch == 2


async def test_notes_go_with_the_next_entry_or_soon_by_themselves(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    journal.note(Progressed(text="one"))
    await journal.append(done("x"))
    journal.note(Progressed(text="two"))
    await clock.sleep(1)
    journal.note(Progressed(text="three"))
    await journal.append(Completed(output=Value()))
    journal.note(Progressed(text="too late"))
    records = await stage.journals().read("default", "j1")
    assert [len(each.entry.events) for each in records] == [1, 1, 2, 1, 2]


async def test_what_is_too_large_fails_alone(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    huge = b'"' + b"x" * 2_000_000 + b'"'
    results = await asyncio.gather(
        journal.append(done("x")), journal.append(done("big", huge)), journal.append(done("y")), return_exceptions=True
    )
    assert [type(each).__name__ for each in results] == ["NoneType", "TooLarge", "NoneType"]
    assert isinstance(results[1], TooLarge)


async def test_an_owner_that_is_cut_off_waits_and_goes_on(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    stage.server.cut("a")
    appending = asyncio.ensure_future(journal.append(done("x")))
    await clock.sleep(20)
    assert not appending.done()
    stage.server.restore("a")
    await appending


async def test_an_owner_that_is_cut_off_for_too_long_gives_the_job_up(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    stage.server.cut("a")
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(journal.append(done("x")), PATIENCE + 20)
    stage.server.restore("a")
    with pytest.raises(LeaseLost):
        await journal.append(done("y"))


async def test_a_writer_whose_waiter_was_cancelled_still_stores_the_event(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    journal = await stage.journal("a")
    await journal.claim()
    task = asyncio.ensure_future(journal.append(done("x")))
    await asyncio.sleep(0)
    task.cancel()
    await journal.flush()
    assert "x" in fold(await stage.journals().read("default", "j1")).steps


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["ack", "append", "none"]), max_size=12), st.integers(0, 99), st.integers(2, 4))
def test_whatever_is_lost_every_acknowledged_step_counts_once(troubles: list[str], seed: int, owners: int) -> None:
    async def run() -> None:
        clock = VirtualClock()
        stage = Stage(clock, SeededIds(clock, seed))
        await stage.submit()
        for trouble in troubles:
            if trouble == "ack":
                stage.server.faults.lose_acks(JOBS)
            elif trouble == "append":
                stage.server.faults.lose_appends(JOBS)
        acknowledged: list[str] = []

        async def own(name: str) -> None:
            journal = await stage.journal(name)
            try:
                await journal.claim()
                for number in range(4):
                    await journal.append(done(f"{name}{number}"))
                    acknowledged.append(f"{name}{number}")
            except LeaseLost:
                return

        async def after(delay: float, name: str) -> None:
            await clock.sleep(delay)
            await own(name)

        await asyncio.gather(*(after(number * 0.004, name) for number, name in enumerate("abcd"[:owners])))
        records = await stage.journals().read("default", "j1")
        state = fold(records)
        assert set(acknowledged) <= set(state.steps)
        assert not state.void
        assert len({each.entry.id for each in records}) == len(records)

    run_virtual(run)
