"""A snapshot stands for everything before it: whoever begins there comes to the same state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from job_stage import World
from legal_journals import LARGE, SUBMITTED, legal_journals

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.snapshots import SnapshotReader, Snapshots, snapshot_at
from mesh.jobs.journals.values import Values
from mesh.protocols.job_events import Snapshot, Value
from mesh.protocols.job_history_events import SNAPSHOT_FORMAT
from mesh.protocols.job_state import JobState, Recorded, fold, seal, unseal
from mesh.protocols.ports import Clock, Ids

unhurried = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@unhurried
@given(legal_journals())
def test_a_state_begun_at_any_cut_comes_to_the_same_as_the_whole_fold(records: list[Recorded]) -> None:
    whole = fold(records)
    for cut in range(len(records)):
        state = unseal(seal(fold(records[:cut])))
        for each in records[cut:]:
            state.apply(each)
        assert state == whole


@unhurried
@given(legal_journals())
def test_no_field_of_the_state_is_lost_in_a_snapshot(records: list[Recorded]) -> None:
    state = JobState()
    for each in records:
        state.apply(each)
        assert unseal(seal(state)) == state


@pytest.mark.virtual
@given(records=legal_journals())
@unhurried
async def test_readers_that_begin_at_a_snapshot_see_what_those_see_who_read_everything(records: list[Recorded]) -> None:
    taken = [
        number
        for number, each in enumerate(records)
        if isinstance(each.entry.events[-1], Snapshot) and not fold(records[:number]).objection(each.entry)
    ]
    reader = SnapshotReader(None, _Subjects())  # type: ignore[arg-type]
    for number in taken:
        assert await reader.resumed(records[number:]) == fold(records)
    assert fold(records).head is None or fold(records).head.snapshot in {0, *(records[each].sequence for each in taken)}  # type: ignore[union-attr]


class _Subjects:
    def bucket(self, name: str) -> str:
        return name


@workflow("count")
async def count(job: Job, most: int) -> int:
    total = 0
    for number in range(most):
        total += await job.step(f"step-{number}", lambda value: value, number, effect="costly")
    await job.step("last", lambda: None)
    return total


class Reads:
    """A store that remembers what was read from it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.after: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, stream: str, subject: str, *, after: int = 0) -> Any:
        self.after.append(after)
        return await self._store.read(stream, subject, after=after)


@pytest.mark.virtual
async def test_an_owner_takes_snapshots_and_the_next_one_begins_there(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.jobs.journals.snapshots.Snapshots.__init__.__kwdefaults__", {"every": 20})
    world = World(clock, ids)
    await world.host("p", count)
    handle = await world.submit_job("count", 50)
    assert await handle.result(600) == sum(range(50))

    records = await world.reader.read("default", handle.id)
    taken = [each.sequence for each in records if isinstance(each.entry.events[0], Snapshot)]
    assert len(taken) == 5
    store = Reads(world.connect("late").store)
    state = await Journals(store, world.subjects).state("default", handle.id)  # type: ignore[arg-type]
    assert state == fold(records)
    assert store.after == [taken[-1] - 1]
    assert state.head
    assert state.head.snapshot == taken[-1]
    await world.close()


@pytest.mark.virtual
@pytest.mark.parametrize("wrong", ["garbage", "another job", "another place", "a later format", "gone"])
async def test_a_snapshot_that_does_not_fit_is_passed_over_and_everything_is_read(
    wrong: str, clock: Clock, ids: Ids
) -> None:
    world = World(clock, ids)
    await world.submit("j1")
    journal = await world.journal("p")
    await journal.claim()
    kept = seal(journal.state)
    other = unseal(kept)
    if wrong == "another job":
        other.job = "j2"
    if wrong == "another place":
        other.sequence -= 1
    state = {
        "garbage": Value(inline=msgspec.Raw(b'{"steps":[]}')),
        "gone": LARGE,
        "a later format": Value(inline=kept),
    }.get(wrong, Value(inline=seal(other)))
    await journal.append(Snapshot(state=state, format=SNAPSHOT_FORMAT + (wrong == "a later format")))
    reader = world.journals()
    assert snapshot_at((await reader.read("default", "j1"))[-1]) == journal.state.sequence
    assert await reader.state("default", "j1") == fold(await reader.read("default", "j1"))
    assert await reader.state("default", "j1") == journal.state


@pytest.mark.virtual
async def test_large_snapshots_are_objects_and_none_is_taken_where_nobody_drives(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.submit("j1")
    journal = await world.journal("p")
    values = Values(world.connect("p2").store, world.subjects, clock)
    taker = Snapshots(values, clock, every=1)
    assert await taker.due(journal.state) is None
    await journal.claim()
    journal.state.submitted = msgspec.structs.replace(
        SUBMITTED, input=Value(inline=msgspec.Raw(b'"%s"' % (b"x" * 70_000)))
    )
    snapshot = await taker.due(journal.state)
    assert snapshot is not None
    assert snapshot.state.ref is not None
    assert unseal(await values.load(snapshot.state)) == journal.state
    assert await Snapshots(values, clock, every=5).due(journal.state) is None
