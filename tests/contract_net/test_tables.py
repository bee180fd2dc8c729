"""The tables of both machines."""

from __future__ import annotations

from typing import get_args

import pytest

from mesh.protocols import auction_states, commitment
from mesh.protocols.transitions import IllegalStep, describe, follow


@pytest.mark.parametrize("machine", [auction_states, commitment])
def test_every_state_and_step_of_a_table_is_declared_and_explained(machine: object) -> None:
    table, meanings = machine.TRANSITIONS, machine.MEANINGS  # type: ignore[attr-defined]
    states, steps = get_args(machine.State), get_args(machine.Step)  # type: ignore[attr-defined]
    assert set(table) == set(states)
    assert {step for row in table.values() for step in row} == set(steps) == set(meanings)
    assert {target for row in table.values() for target in row.values()} <= set(states)


@pytest.mark.parametrize("machine", [auction_states, commitment])
def test_every_state_leads_to_an_end(machine: object) -> None:
    table, ends = machine.TRANSITIONS, set(machine.TERMINAL)  # type: ignore[attr-defined]
    for _ in table:
        ends |= {state for state, row in table.items() if ends & set(row.values())}
    assert ends == set(table)


def test_a_step_that_the_table_does_not_have_is_a_mistake_of_the_machine() -> None:
    with pytest.raises(IllegalStep, match="no step 'award' from state 'done'"):
        follow(auction_states.TRANSITIONS, "done", "award")


def test_a_diagram_shows_steps_between_the_same_two_states_on_one_arrow() -> None:
    table = {"off": {"press": "on", "pull": "on"}, "on": {"break": "dead-end"}, "dead-end": {}}
    assert describe(table, "off") == (
        "stateDiagram-v2\n    [*] --> off\n    off --> on: press, pull\n    on --> dead_end: break\n    dead_end --> [*]\n"
    )
