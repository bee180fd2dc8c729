"""Ids of unstored events: uuid7s like all others, ascending, and never the same twice."""

from __future__ import annotations

import uuid

from mesh.actors.events.event_ids import EventIds
from mesh.clock import SystemClock, SystemIds


class StillClock(SystemClock):
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at


def test_they_carry_the_time_and_ascend_however_many_there_are_in_a_millisecond() -> None:
    clock = StillClock()
    ids = EventIds(clock, SystemIds(clock))
    drawn: list[str] = []
    for _ in range(50):
        drawn += [ids.draw().decode() for _ in range(100)]
        clock.at += 0.001
    assert drawn == sorted(set(drawn))
    first, last = uuid.UUID(drawn[0]), uuid.UUID(drawn[-1])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first.int >> 80 == 1_800_000_000_000
    assert last.int >> 80 == int((clock.at - 0.001) * 1000)


def test_they_differ_from_those_of_another_process_and_of_other_messages() -> None:
    clock = StillClock()
    shared = SystemIds(clock)
    series = [EventIds(clock, shared), EventIds(clock, SystemIds(clock))]
    drawn = [each.draw().decode() for _ in range(1000) for each in series] + [shared.uuid() for _ in range(1000)]
    assert len(set(drawn)) == 3000


def test_they_do_not_stop_when_the_clock_steps_back() -> None:
    clock = StillClock()
    ids = EventIds(clock, SystemIds(clock))
    before = ids.draw()
    clock.at -= 60
    assert before < ids.draw()
