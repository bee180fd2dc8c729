"""What the command line shows: stable keys, honest blanks, drawings that cannot be broken by a name."""

from __future__ import annotations

from mesh.protocols.acts import Bid
from mesh.registry.inspection import FIELDS, chosen, details, event, graph, named, row, rows
from mesh.registry.listing import Change, Listing
from mesh.registry.records import Capability, Figures
from tests.registry.crew import instance_of

NOW = 1_800_000_060.0


def listing(process: str = "p", agent: str = "greeter", number: str = "1", **more: object) -> Listing:
    return Listing(instance_of(process, agent, number, **more))


def test_a_row_has_exactly_the_promised_keys_in_order() -> None:
    assert tuple(row(listing(), NOW)) == FIELDS == (
        "agent", "instance", "process", "version", "host", "pid", "state", "capabilities", "labels", "load", "queue",
        "latency_ms", "success", "bid", "age_s",
    )  # fmt: skip


def test_figures_that_were_never_heard_are_blank_not_zero() -> None:
    unheard = row(listing(), NOW)
    assert [unheard[key] for key in ("load", "queue", "latency_ms", "success", "bid")] == [None] * 5


def test_figures_are_shown_in_the_units_their_names_say() -> None:
    known = listing()
    known.figures = Figures(queue=1, running=2, capacity=4, latency=0.25, success=0.5, bids={"greet": Bid(price=0.01)})
    known.seen_at = 5.0
    shown = row(known, NOW)
    assert (shown["load"], shown["queue"], shown["latency_ms"], shown["success"]) == (0.75, 1, 250.0, 0.5)
    assert shown["bid"]["greet"]["price"] == 0.01
    assert shown["age_s"] == 60.0


def test_rows_are_sorted_and_filtered() -> None:
    all_of_them = [listing("q"), listing("p", labels={"gpu": "yes"}), listing("p", "adder", capabilities=())]
    assert [(each["agent"], each["process"]) for each in rows(all_of_them, NOW)] == [
        ("adder", "p"), ("greeter", "p"), ("greeter", "q"),
    ]  # fmt: skip
    assert len(chosen(all_of_them, capability="greet")) == 2
    assert len(chosen(all_of_them, capability="greet", labels={"gpu": "yes"})) == 1
    assert not chosen(all_of_them, state="draining")


def test_a_name_is_an_agent_a_process_or_a_key() -> None:
    all_of_them = [listing("p"), listing("q"), listing("q", "adder")]
    assert [len(named(all_of_them, name)) for name in ("greeter", "q", "q.adder.1", "adder.1", "nobody")] == [
        2,
        2,
        1,
        1,
        0,
    ]


def test_details_say_why_somebody_is_suspected() -> None:
    suspect = listing()
    suspect.suspicion = "no answer within 0.5 s"
    shown = details(suspect, None, NOW)
    assert (shown["state"], shown["suspicion"]) == ("suspect", "no answer within 0.5 s")
    assert [(each["name"], each["effect"], each["timeout"]) for each in shown["declares"]] == [("greet", "pure", 5.0)]


def test_a_change_says_who_and_why() -> None:
    assert event(Change("process-down", "p", why="its lease ended"), NOW) == {
        "at": NOW, "kind": "process-down", "process": "p", "agent": None, "instance": None, "state": None,
        "why": "its lease ended",
    }  # fmt: skip


def test_the_graph_draws_hosts_agents_and_capabilities_once() -> None:
    drawn = graph([listing("p"), listing("q", number="2", state="draining"), listing("p", "adder", capabilities=())])
    assert drawn == (
        "flowchart LR\n"
        '    c0(["greet"])\n'
        '    subgraph h0["here"]\n'
        '        h0a0["adder 1.2.0"]\n'
        '        h0a1["greeter 1.2.0 ×2 (1 draining)"]\n'
        "    end\n"
        "    h0a1 --> c0\n"
    )


def test_a_name_cannot_break_out_of_the_graph() -> None:
    hostile = Capability(name='x"]\nclick a href "javascript:"', command="x")
    drawn = graph([listing(capabilities=(hostile,), host='"]<script>')])
    assert '"]<script>' not in drawn
    assert all(line.count('"') in (0, 2) for line in drawn.splitlines())
    assert "\nclick" not in drawn


def test_an_empty_mesh_is_an_empty_graph() -> None:
    assert graph([]) == "flowchart LR\n"
