"""A host that looks for jobs reads what has changed, not the heads of everything that was ever done."""

from __future__ import annotations

import pytest
from job_stage import Stage

from mesh.jobs.owning.heads import AFRESH_EVERY, Heads
from mesh.protocols.errors import TimedOut
from mesh.protocols.job_events import Completed, Value
from mesh.protocols.job_state import Recorded
from mesh.protocols.naming.jobs import SHARDS, shard_of
from mesh.protocols.ports import Clock, Ids, Stored

pytestmark = pytest.mark.virtual


def jobs_of(found: list) -> list[str]:
    return [each.entry.job for each in found]


async def test_only_what_has_changed_is_read_again(clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(clock, ids)
    for number in range(20):
        await stage.submit(f"j{number}")
        await clock.sleep(1.0)
    journals = stage.journals()
    read: list[Stored] = []
    original = journals.store.last_each

    async def counted(stream: str, subjects: str, *, after: int = 0) -> list[Stored]:
        found = await original(stream, subjects, after=after)
        read.extend(found)
        return found

    monkeypatch.setattr(journals.store, "last_each", counted)
    heads = Heads(journals, clock, lambda head: head.state in ("submitted", "running"))
    assert jobs_of(await heads.current()) == [f"j{number}" for number in range(20)], "the oldest first"
    assert len(read) == 20
    journal = await stage.journal("p", "j3")
    await journal.claim()
    assert jobs_of(await heads.current())[-1] == "j3"
    await journal.append(Completed(output=Value()))
    assert "j3" not in jobs_of(await heads.current())
    assert len(read) == 22


async def test_a_journal_that_was_removed_is_forgotten_in_time(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit("gone")
    journals = stage.journals()
    heads = Heads(journals, clock, lambda head: True)
    assert jobs_of(await heads.current()) == ["gone"]
    await journals.store.purge(stage.subjects.job_stream(shard_of("gone")), stage.subjects.find_job("gone"))
    await clock.sleep(AFRESH_EVERY)
    assert await heads.current() == []


async def test_a_journal_that_ends_in_something_else_is_left_out_until_it_is_one_again(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit("j1")
    journals = stage.journals()
    heads = Heads(journals, clock, lambda head: True)
    assert jobs_of(await heads.current()) == ["j1"]
    await journals.store.append(stage.subjects.job("default", "j1"), b"no entry at all")
    assert await heads.current() == []


async def test_what_a_look_that_failed_still_reads_does_not_come_after_what_the_next_one_has_read(
    clock: Clock, ids: Ids
) -> None:
    stage = Stage(clock, ids)
    await stage.submit("j1")
    (last,) = await stage.journals().heads()
    read = 0

    class Slow:
        """At first one shard does not answer, and another tells late what was true before the job was over."""

        async def changed(self, shard: str, *, after: int) -> list[tuple[str, int, Recorded | None]]:
            nonlocal read
            first, read = read < len(SHARDS), read + 1
            if first and shard == SHARDS[0]:
                raise TimedOut("no answer")
            if shard != SHARDS[1]:
                return []
            await clock.sleep(10.0 if first else 0.0)
            return [("s", 5, last) if first else ("s", 9, None)]

    heads = Heads(Slow(), clock, lambda head: True)  # type: ignore[arg-type]
    with pytest.raises(TimedOut):
        await heads.current()
    assert await heads.current() == []
    await clock.sleep(20)
    assert heads._kept == {}
