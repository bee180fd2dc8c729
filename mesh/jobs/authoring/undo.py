"""`Undo`: how a step is undone, as a workflow writes it beside the step.

room = await job.call("hotel.book", wish, returns=Room, compensate="hotel.cancel")
await job.step("charge", charge, wish, effect="idempotent", compensate=Undo(refund, within=30, attempts=5))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.protocols.naming.names import check_capability


@dataclass(frozen=True)
class Undo:
    """`what` is a capability, called with the step's result, or a function of that result: async, or plain (then it runs in a
    thread); where it gives a branch such as `job.call(…)`, that is what undoes the step. `within` is in seconds, for each of
    `attempts`."""

    what: str | Callable[[Any], Any]
    within: float = 60.0
    attempts: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.what, str):
            check_capability(self.what)
        elif not callable(self.what):
            raise TypeError(f"compensate={self.what!r}: write a capability's name, or a function of the step's result")
        if self.within <= 0 or self.attempts < 1:
            raise TypeError("Undo: `within` is a number of seconds above 0, `attempts` at least 1")

    @property
    def name(self) -> str:
        """The capability's or the function's."""
        return self.what if isinstance(self.what, str) else getattr(self.what, "__qualname__", type(self.what).__name__)


Compensation = str | Callable[[Any], Any] | Undo
"""What may be written as `compensate=`."""


def undo_of(compensate: Compensation | None) -> Undo | None:
    """It as an `Undo`.

    Raises:
        TypeError · InvalidName: it is none.
    """
    return compensate if compensate is None or isinstance(compensate, Undo) else Undo(compensate)
