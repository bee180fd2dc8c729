"""The states of an auction and the steps between them: the table that `Auction` follows."""

from __future__ import annotations

from typing import Literal

from mesh.protocols.transitions import as_markdown, describe, terminal

State = Literal["open", "evaluating", "awarded", "confirmed", "running", "done", "failed", "cancelled", "no-bids"]

Step = Literal[
    "close",
    "nobody",
    "award",
    "reopen",
    "give-up",
    "confirm",
    "begin",
    "finish",
    "fault",
    "decline",
    "lose",
    "doubt",
    "cancel",
    "expire",
]

MEANINGS: dict[Step, str] = {
    "close": "everybody expected has answered, or the window is over",
    "nobody": "the server answers that nobody listens (503)",
    "award": "the best is chosen: the award is journaled, then sent",
    "reopen": "nobody is acceptable: another round",
    "give-up": "nobody is acceptable, and another round would not help",
    "confirm": "the winner holds the award, and has queued the work",
    "begin": "the winner has begun",
    "finish": "the result has come",
    "fault": "the work failed, too many winners were lost, or a newer owner is at work",
    "decline": "the winner does not take it, or gives it back unbegun: the next best",
    "lose": "the winner is gone, and the effect allows another",
    "doubt": "the winner is gone, and the effect may have happened",
    "cancel": "the caller wants it to stop",
    "expire": "the deadline has passed",
}

_HELD: dict[Step, State] = {
    "finish": "done",
    "fault": "failed",
    "decline": "evaluating",
    "lose": "evaluating",
    "doubt": "failed",
    "cancel": "cancelled",
    "expire": "failed",
}

TRANSITIONS: dict[State, dict[Step, State]] = {
    "open": {"close": "evaluating", "nobody": "no-bids", "cancel": "cancelled", "expire": "failed"},
    "evaluating": {"award": "awarded", "reopen": "open", "give-up": "no-bids", "fault": "failed"},
    "awarded": {"confirm": "confirmed", "begin": "running", **_HELD},
    "confirmed": {"begin": "running", **_HELD},
    "running": dict(_HELD),
    "done": {},
    "failed": {},
    "cancelled": {},
    "no-bids": {},
}

TERMINAL = terminal(TRANSITIONS)

HELD: frozenset[State] = frozenset({"awarded", "confirmed", "running"})
"""The states in which somebody holds the award, or may."""


def diagram() -> str:
    """The table as Mermaid source."""
    return describe(TRANSITIONS, "open")


def table() -> str:
    """The steps as Markdown."""
    return as_markdown(TRANSITIONS, MEANINGS)
