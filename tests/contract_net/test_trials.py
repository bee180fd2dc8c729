"""What somebody failed at costs the calls for other things nothing: trials are looked for where there may be one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mesh.actors.asking.doubts import Doubts
from mesh.contract_net.calls import Call
from mesh.contract_net.trials import Trials
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.selection import SelectionPolicy
from mesh.resilience.breakers import Breakers
from mesh.resilience.deadline import Deadline
from mesh.resilience.quality import Quality

pytestmark = pytest.mark.virtual


class Place:
    """An initiator that counts how often it looks at everybody."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self.clock = clock
        self.breakers, self.quality = Breakers(clock, ids.random), Quality(clock, ids.random)
        directory = SimpleNamespace(poor={})
        self.doubts = Doubts(directory, self.breakers, self.quality)  # type: ignore[arg-type]
        self.looks = 0
        peer: Any = SimpleNamespace(doubts=self.doubts)
        market: Any = SimpleNamespace(everybody=self.everybody)
        self.trials = Trials(peer, market)

    def everybody(self, *_: Any) -> list[Any]:
        self.looks += 1
        return []

    def fail(self, target: str, what: str) -> None:
        for _ in range(3):
            breaker = self.breakers.of(target, what)
            breaker.record(breaker.admit(self.clock.monotonic()), "failure", 0.0, self.clock.monotonic())

    def looks_for(self, what: str) -> int:
        before, deadline = self.looks, Deadline.after(self.clock, 5.0)
        self.trials.sample(
            Call(capability=what, input=msgspec.Raw(b"null"), effect="pure", deadline=deadline), SelectionPolicy()
        )
        return self.looks - before


async def test_only_calls_for_what_may_be_tried_again_look_at_everybody(clock: Clock, ids: Ids) -> None:
    place = Place(clock, ids)
    assert place.looks_for("do") == 0
    place.fail("p.a.1", "do")
    assert place.looks_for("do") == 0, "it is too soon"
    await clock.sleep(3600)
    assert (place.looks_for("do"), place.looks_for("other")) == (1, 0)


async def test_what_a_person_has_forced_open_costs_no_look(clock: Clock, ids: Ids) -> None:
    place = Place(clock, ids)
    place.breakers.force("p.a.1", "do", "for good")
    await clock.sleep(3600)
    assert place.doubts.any
    assert place.looks_for("do") == 0


async def test_a_version_that_may_be_well_again_is_looked_for(clock: Clock, ids: Ids) -> None:
    place = Place(clock, ids)
    for _ in range(5):
        place.quality.misfits(("a@1", "do"))
    assert place.looks_for("do") == 0
    await clock.sleep(3600)
    assert (place.looks_for("do"), place.looks_for("other")) == (1, 0)
