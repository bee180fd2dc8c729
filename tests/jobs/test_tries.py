"""Who takes a message and is lost counts against it; a store that does not answer does not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from job_stage import Stage

from mesh.jobs.intake.tries import KEPT, Before, Tries
from mesh.jobs.owning.seat import Incumbent, Seat
from mesh.protocols.errors import Conflict, TimedOut
from mesh.protocols.ports import Bucket, Clock, Ids

pytestmark = pytest.mark.virtual


class Processes(Stage):
    """Those that take messages; `dead` are gone."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        super().__init__(clock, ids)
        self.dead: set[str] = set()

    def tries(self, name: str) -> Tries:
        connection = self.connect(name)

        async def gone(owners: Collection[Incumbent]) -> Collection[Incumbent]:
            return [each for each in owners if each.process in self.dead]

        return Tries(
            Seat(
                bus=connection.bus, store=connection.store, clock=self.clock, ids=self.ids, subjects=self.subjects,
                process=name, incarnation="1", gone=gone,
            )
        )  # fmt: skip


@pytest.fixture
def processes(clock: Clock, ids: Ids) -> Processes:
    return Processes(clock, ids)


@contextmanager
def deaf(tries: Tries, bucket: Bucket, times: int = 1) -> Iterator[None]:
    """So many writes are stored, and their acks lost."""
    left = times

    async def put(*given: Any, **terms: Any) -> int:
        nonlocal left
        revision = await bucket.put(*given, **terms)
        left -= 1
        if left >= 0:
            raise TimedOut("no ack came")
        return revision

    async def same() -> Any:
        return SimpleNamespace(get=bucket.get, put=put, delete=bucket.delete)

    tries._bucket = same  # type: ignore[method-assign]
    yield
    del tries._bucket  # type: ignore[attr-defined]


async def test_each_that_took_it_and_is_gone_counts(processes: Processes) -> None:
    for number, name in enumerate("abc"):
        assert await processes.tries(name).begin(7) == Before(number)
        processes.dead.add(name)
    last = processes.tries("d")
    assert await last.begin(8) == Before(0)
    assert await last.begin(7) == Before(3)
    await last.over(7)
    assert await last.begin(7) == Before(0)


async def test_who_came_back_does_not_count_also_when_it_dies_later(processes: Processes) -> None:
    tries = processes.tries("p")
    await tries.came_back(7, await tries.begin(7))
    processes.dead.add("p")
    assert await processes.tries("q").begin(7) == Before(0)


async def test_who_is_there_does_not_count_though_it_could_not_say_so(processes: Processes) -> None:
    """Of somebody else it is known that they may have it in hand now, and they still count once they are gone."""
    mine, theirs = processes.tries("p"), processes.tries("q")
    for _ in range(5):
        assert await mine.begin(7) == Before(0)
    with pytest.raises(Conflict, match="p may have message 7 in hand"):
        await theirs.begin_alone(7)
    before = await theirs.begin(7)
    assert before == Before(0, Incumbent("p", "1"))
    await theirs.came_back(7, before)
    processes.dead.add("p")
    assert await theirs.begin(7) == Before(1)


async def test_a_try_that_was_stored_though_nobody_heard_so_does_not_count(processes: Processes) -> None:
    tries = processes.tries("p")
    bucket = await tries._bucket()
    for _ in range(5):
        with pytest.raises(TimedOut), deaf(tries, bucket):
            await tries.begin(7)
    assert await tries.begin(7) == Before(0)


async def test_what_an_earlier_release_has_counted_stands(processes: Processes) -> None:
    tries = processes.tries("p")
    await (await tries._bucket()).put("7", b"2")
    assert await tries.begin(7) == Before(2)


async def test_what_nobody_takes_any_more_is_forgotten(processes: Processes) -> None:
    """Others accounted for it in its turn, and did not have to look here."""
    await processes.tries("p").begin(7)
    processes.dead.add("p")
    await processes.clock.sleep(KEPT + 60)
    assert await (await processes.tries("q")._bucket()).all() == []


async def test_two_that_take_it_at_once_do_not_both_have_it(processes: Processes) -> None:
    one, two = processes.tries("p"), processes.tries("q")
    await one.begin(7)
    bucket = await two._bucket()
    real = bucket.get

    async def slow(key: str) -> object:
        found = await real(key)
        await one.begin(7)
        return found

    bucket.get = slow  # type: ignore[method-assign, assignment]

    async def same() -> object:
        return bucket

    two._bucket = same  # type: ignore[method-assign, assignment]
    with pytest.raises(Conflict):
        await two.begin(7)
