"""One wait of a job, as the journal knows it, and the signals that nothing has waited for yet."""

from __future__ import annotations

from typing import NamedTuple

from mesh.protocols.job_events import OpenWait, Value, WaitOpened, WaitResolved
from mesh.protocols.job_rules import WaitStatus


class Signal(NamedTuple):
    """A signal that came before anything waited for it; `inbox` is its sequence there."""

    inbox: int
    name: str
    value: Value | None = None
    by: str = ""


class WaitState(NamedTuple):
    """`opened_at` and `resolved_at` are job time; `answer` is None while it is open."""

    opened: WaitOpened
    opened_at: float
    answer: WaitResolved | None = None
    resolved_at: float = 0.0

    @property
    def status(self) -> WaitStatus:
        """Where it stands in `WAIT_TRANSITIONS`."""
        return "open" if self.answer is None else "resolved"

    def due(self, at: float) -> bool:
        """Whether its time has come at job time `at`."""
        return self.answer is None and self.opened.until is not None and at >= self.opened.until


def in_short(opened: WaitOpened) -> OpenWait:
    """The wait as a head names it."""
    return OpenWait(
        key=opened.key,
        kind=opened.kind,
        name=opened.name,
        digest=opened.digest,
        risk=opened.risk,
        until=opened.until,
    )
