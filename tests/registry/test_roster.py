"""The roster answers from its indexes what a search through everything would answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.registry.listing import Change
from mesh.registry.records import Capability, Figures, Instance, Lease
from mesh.registry.roster import Roster
from tests.registry.crew import instance_of


def lease_of(process: str, incarnation: str = "i1", client: int = 1) -> Lease:
    return Lease(process=process, host="h", pid=1, incarnation=incarnation, server_id="S", client_id=client)


def admit(roster: Roster, lease: Lease, revision: int = 1) -> list[Change]:
    return roster.admit(lease, msgspec.json.encode(lease), revision, 0.0)


PROCESSES, INCARNATIONS = st.sampled_from(["p", "q"]), st.sampled_from(["i1", "i2"])
CAPABILITIES = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("admit"), PROCESSES, INCARNATIONS, st.integers(1, 3)),
    st.tuples(st.just("dismiss"), PROCESSES),
    st.tuples(st.just("record"), PROCESSES, INCARNATIONS, st.sampled_from(["a", "b"]), CAPABILITIES, st.booleans()),
    st.tuples(st.just("forget"), PROCESSES, st.sampled_from(["a", "b"])),
    st.tuples(st.just("doubt"), PROCESSES, st.sampled_from(["a", "b"]), st.sampled_from(["", "why"])),
    st.tuples(st.just("ask"), st.sampled_from(["x", "y"])),
)


class Model:
    """The same by brute force."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.records: dict[str, Instance] = {}

    def listed(self) -> dict[str, Instance]:
        def belongs(record: Instance) -> bool:
            lease = self.leases.get(record.process)
            return lease is not None and lease.incarnation == record.incarnation

        return {key: record for key, record in self.records.items() if belongs(record)}


def apply(roster: Roster, model: Model, step: tuple) -> list[Change]:  # type: ignore[type-arg]
    match step:
        case "admit", process, incarnation, client:
            model.leases[process] = lease_of(process, incarnation, client + (10 if process == "q" else 0))
            return admit(roster, model.leases[process])
        case "dismiss", process:
            model.leases.pop(process, None)
            return roster.dismiss(process, "test")
        case "record", process, incarnation, agent, capabilities, draining:
            record = instance_of(
                process,
                agent,
                incarnation=incarnation,
                state="draining" if draining else "ready",
                capabilities=tuple(Capability(name=each, command=each) for each in capabilities),
            )
            model.records[record.key] = record
            return roster.record(record, 1)
        case "forget", process, agent:
            model.records.pop(f"{process}.{agent}.1", None)
            return roster.forget(f"{process}.{agent}.1", "test")
        case "doubt", process, agent, why:
            return roster.doubt(f"{process}.{agent}.1", why)
        case _:
            roster.lookup(step[1], None, None, "ready")
            return []


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_after_any_history_the_indexes_say_what_a_search_would(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    roster, model = Roster(), Model()
    told: set[str] = set()
    for step in steps:
        for change in apply(roster, model, step):
            if change.listing is not None and change.kind != "instance-changed":
                (told.add if change.kind == "instance-up" else told.discard)(change.listing.key)
        expected = model.listed()
        assert {key: each.record for key, each in roster.listed.items()} == expected
        assert told == set(expected)
        assert set(roster.members) == set(model.leases)
        assert roster.by_connection == {(each.server_id, each.client_id): name for name, each in model.leases.items()}
        for capability in ("x", "y"):
            offering = {key for key, each in expected.items() if each.offers(capability)}
            assert {each.key for each in roster.lookup(capability, None, None, None)} == offering
            ready = {key for key in offering if roster.listed[key].state == "ready"}
            assert {each.key for each in roster.lookup(capability, None, None, "ready")} == ready
        by_agent = {agent: set(table) for agent, table in roster.by_agent.items()}
        assert by_agent == {
            a: {k for k, e in expected.items() if e.agent == a} for a in {e.agent for e in expected.values()}
        }
        leftovers = {key for process in ("p", "q") for key in roster.leftovers(process)}
        assert leftovers == model.records.keys() - expected.keys()


def test_a_renewal_is_told_by_its_bytes() -> None:
    roster, lease = Roster(), lease_of("p")
    admit(roster, lease)
    raw = msgspec.json.encode(lease)
    assert roster.renew("p", raw, 2, 5.0)
    assert (roster.members["p"].revision, roster.members["p"].seen_at) == (2, 5.0)
    assert not roster.renew("p", raw + b" ", 3, 6.0)
    assert not roster.renew("q", raw, 3, 6.0)


def test_figures_that_come_before_their_record_wait_for_it() -> None:
    roster = Roster()
    roster.figures("p.greeter.1", Figures(queue=4), 1.0)
    admit(roster, lease_of("p"))
    roster.record(instance_of("p", incarnation="i1"), 1)
    assert roster.listed["p.greeter.1"].figures.queue == 4


def test_figures_of_an_earlier_incarnation_are_not_the_new_ones() -> None:
    roster = Roster()
    admit(roster, lease_of("p", "i1"))
    roster.record(instance_of("p", incarnation="i1"), 1)
    roster.figures("p.greeter.1", Figures(queue=4), 1.0)
    admit(roster, lease_of("p", "i2"))
    roster.record(instance_of("p", incarnation="i2"), 2)
    assert roster.listed["p.greeter.1"].seen_at is None


def test_ten_thousand_instances_cost_a_lookup_no_more_than_ten() -> None:
    def lines(size: int) -> int:
        roster = Roster()
        for number in range(size):
            process = f"p{number}"
            admit(roster, lease_of(process, client=number))
            roster.record(instance_of(process, incarnation="i1"), 1)
        assert len(roster.lookup("greet", None, None, "ready")) == size
        raw = msgspec.json.encode(lease_of("p5", client=5))
        with Lines() as run:
            roster.lookup("greet", None, None, "ready")
            roster.renew("p5", raw, 2, 1.0)
            roster.figures("p5.greeter.1", Figures(), 1.0)
        return run.count

    assert lines(10_000) == lines(10)


class Lines:
    """Counts the lines of Python that are run within a `with`: what something costs, on any machine."""

    count = 0

    def __enter__(self) -> Lines:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, _frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        self.count += event == "line"
        return self._trace
