"""Who takes a message and is lost counts against it; a store that does not answer does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from job_stage import Stage

from mesh.jobs.intake.tries import Tries
from mesh.protocols.errors import Conflict, TimedOut
from mesh.protocols.ports import Bucket, Clock, Ids

pytestmark = pytest.mark.virtual


def tries_of(stage: Stage, name: str) -> Tries:
    return Tries(stage.connect(name).store, stage.subjects)


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


async def test_each_that_took_it_and_was_not_heard_of_again_counts(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    tries = tries_of(stage, "p")
    assert [await tries.begin(7) for _ in range(3)] == [0, 1, 2]
    assert await tries.begin(8) == 0
    await tries.came_back(7, 2)
    assert await tries.begin(7) == 2
    await tries.over(7)
    assert await tries.begin(7) == 0


async def test_a_count_that_was_stored_though_nobody_heard_so_is_taken_back(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    tries = tries_of(stage, "p")
    bucket = await tries._bucket()
    for _ in range(5):
        with pytest.raises(TimedOut), deaf(tries, bucket):
            await tries.begin(7)
    assert await tries.begin(7) == 0


async def test_a_store_that_stays_away_is_told_as_such(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    tries = tries_of(stage, "p")
    with pytest.raises(TimedOut), deaf(tries, await tries._bucket(), times=99):
        await tries.begin(7)


async def test_two_that_take_it_at_once_do_not_both_have_it(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    one, two = tries_of(stage, "p"), tries_of(stage, "q")
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
