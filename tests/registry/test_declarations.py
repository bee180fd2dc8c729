"""What several instances declare of one capability, in any order of their listing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.constraints import STRICTNESS, Effect, stricter
from mesh.registry.declaration import Declaration
from mesh.registry.records import Capability, Instance, Lease
from mesh.registry.roster import Roster

effects = st.lists(st.sampled_from(STRICTNESS), min_size=1, max_size=5)


def listed(roster: Roster, process: str, effect: Effect) -> None:
    """A process with one instance that offers `do`, declared so."""
    lease = Lease(process=process, incarnation="1", host="h", pid=1, server_id=process, client_id=1)
    roster.admit(lease, b"", 1, 0.0)
    offered = Capability(name="do", command="do", effect=effect)
    instance = Instance(
        agent="worker", version="1", instance=process, process=process, host="h", pid=1, started_at=0.0,
        state="ready", capabilities=(offered,), incarnation="1",
    )  # fmt: skip
    roster.record(instance, 1)


@given(effects)
def test_the_strictest_speaks_in_whatever_order_they_are_listed(declared: list[Effect]) -> None:
    roster = Roster()
    for number, each in enumerate(declared):
        listed(roster, f"p{number}", each)
        seen = declared[: number + 1]
        found = roster.declared("do")
        assert found is not None
        assert found.effect == max(seen, key=STRICTNESS.index)
        assert roster.effects("do") == frozenset(seen)
    for number in range(len(declared) - 1):
        roster.dismiss(f"p{number}", "the release is out")
    assert roster.effects("do") == {declared[-1]}


def test_nobody_declares_what_nobody_offers() -> None:
    assert Roster().declared("do") is None
    assert Roster().effects("do") == frozenset()


@given(effects)
def test_of_those_that_are_equally_strict_the_first_speaks(declared: list[Effect]) -> None:
    offered = [Capability(name="do", command=f"do{number}", effect=each) for number, each in enumerate(declared)]
    found = Declaration.of(offered).capability
    assert found is next(each for each in offered if each.effect == found.effect)
    assert all(stricter(found.effect, each) == found.effect for each in declared)
