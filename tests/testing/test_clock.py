from __future__ import annotations

import asyncio
import os
import re
import uuid

from mesh.clock import SeededIds, SystemClock, SystemIds


class StillClock(SystemClock):
    """A wall clock that can be set, for ids."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at


def test_a_uuid_is_a_version_7_and_carries_the_time() -> None:
    clock = StillClock()
    made = uuid.UUID(SystemIds(clock).uuid())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == int(clock.at * 1000)


def test_uuids_ascend_within_a_millisecond_and_over_a_step_back() -> None:
    clock = StillClock()
    ids = SystemIds(clock)
    drawn = [ids.uuid() for _ in range(10_000)]
    clock.at -= 60
    drawn += [ids.uuid() for _ in range(10)]
    assert drawn == sorted(set(drawn))


def test_tokens_are_unique_short_and_fit_for_a_subject() -> None:
    ids = SystemIds()
    tokens = [ids.token() for _ in range(1000)]
    assert len(set(tokens)) == 1000
    assert all(re.fullmatch(r"[0-9a-z]{5,8}", token) for token in tokens)


def test_the_same_seed_gives_the_same_ids() -> None:
    first, second = SeededIds(StillClock(), 3), SeededIds(StillClock(), 3)
    assert [first.uuid(), first.token(), first.random.random()] == [
        second.uuid(),
        second.token(),
        second.random.random(),
    ]


async def test_the_monotonic_clock_is_the_loop_s() -> None:
    assert abs(SystemClock().monotonic() - asyncio.get_running_loop().time()) < 0.1


def test_a_forked_child_draws_other_ids_than_its_parent() -> None:
    ids = SystemIds(StillClock())
    ids.uuid()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.uuid().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reading, 100).decode(), ids.uuid()
    os.close(reading)
    os.close(writing)
    assert theirs[-16:] != ours[-16:]
    assert theirs[:8] == ours[:8]


def test_ids_never_run_out_of_random_bits() -> None:
    clock = StillClock()
    ids, ends = SystemIds(clock), set()
    for _ in range(1000):
        clock.at += 0.002
        ends.add(ids.uuid()[19:])
    assert len(ends) == 1000
    assert len({end[:4] for end in ends}) > 500
