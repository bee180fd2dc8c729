"""State machines as tables: `TABLE[state][step] -> next state`, and the documentation made from them.

A machine decides in code *which* step an incoming message means, and looks up here where the step leads. A step that the
table does not have is a mistake in the machine, never a message from outside: messages that no longer matter are told
apart before a step is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

S = TypeVar("S", bound=str)
T = TypeVar("T", bound=str)


class IllegalStep(AssertionError):
    """A machine tried a step that its table does not have."""


def follow(table: Mapping[S, Mapping[T, S]], state: S, step: T) -> S:
    """Where `step` leads from `state`.

    Raises:
        IllegalStep: the table has no such step there.
    """
    try:
        return table[state][step]
    except KeyError:
        raise IllegalStep(f"no step {step!r} from state {state!r}") from None


def terminal(table: Mapping[S, Mapping[T, S]]) -> frozenset[S]:
    """The states that nothing leads out of."""
    return frozenset(state for state, steps in table.items() if not steps)


def describe(table: Mapping[S, Mapping[T, S]], start: S) -> str:
    """The table as Mermaid source, steps between the same two states sharing one arrow."""
    lines = ["stateDiagram-v2", f"    [*] --> {_node(start)}"]
    for state, steps in table.items():
        targets: dict[S, list[str]] = {}
        for step, target in steps.items():
            targets.setdefault(target, []).append(step)
        lines += [f"    {_node(state)} --> {_node(target)}: {', '.join(names)}" for target, names in targets.items()]
    lines += [f"    {_node(state)} --> [*]" for state in table if not table[state]]
    return "\n".join(lines) + "\n"


def as_markdown(table: Mapping[S, Mapping[T, S]], meanings: Mapping[T, str]) -> str:
    """The table as Markdown: one row a step, with what it means and where it leads from each state that allows it."""
    rows = ["| step | means | leads |", "|---|---|---|"]
    for step, meaning in meanings.items():
        leads = ", ".join(f"{state} → {steps[step]}" for state, steps in table.items() if step in steps)
        rows.append(f"| {step} | {meaning} | {leads} |")
    return "\n".join(rows) + "\n"


def _node(state: str) -> str:
    return state.replace("-", "_")
