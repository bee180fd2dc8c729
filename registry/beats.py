"""Which figures a process tells, and when: `Beats` decides, `presence.py` sends.

Without I/O. On change, at most one beat a `seconds`; every `full_every` of them a full one, so that a lost beat does no
lasting harm and late joiners learn what has not changed. Both are bounded, however many instances there are: of more than
`MOST` changes those that have waited longest are told, a full beat goes on where the last one ended, and who asks is
answered with the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from mesh.registry.records import Beat, Figures

PART = 200
"""How many instances' figures go into one message."""
MOST = 2000
"""How many go into one beat, or one answer: some 300 KB."""


class Beats:
    """The figures of one process's instances, keyed `<agent>.<instance>`. Times are monotonic seconds."""

    def __init__(self, process: str, incarnation: str, *, seconds: float = 1.0, full_every: int = 10) -> None:
        self._process = process
        self._incarnation = incarnation
        self._seconds = seconds
        self._full_every = full_every
        self._figures: dict[str, Figures] = {}
        self._changed: dict[str, None] = {}
        self._waiting: list[str] = []
        self._number = 0
        self._sent_at = float("-inf")
        self._full_at = float("-inf")

    def set(self, key: str, figures: Figures) -> bool:
        """The figures of one instance. The same again: nothing to tell. True if the next beat is due earlier by it."""
        if self._figures.get(key) == figures:
            return False
        first = not self._changed
        self._figures.pop(key, None)  # the newest stand last
        self._figures[key] = figures
        self._changed[key] = None
        return first

    def drop(self, key: str) -> None:
        """The instance is gone."""
        self._figures.pop(key, None)
        self._changed.pop(key, None)

    def refresh(self) -> None:
        """Tell everything with the next beat: somebody may have missed the last ones."""
        self._full_at = float("-inf")

    @property
    def free_at(self) -> float:
        """When the next beat may leave, if there is anything to tell by then."""
        return self._sent_at + self._seconds

    @property
    def due_at(self) -> float:
        """When the next beat leaves; figures set meanwhile can bring it forward."""
        full = self._full_at + self._full_every * self._seconds
        return max(self.free_at, float("-inf") if self._changed else full)

    def take(self, now: float, lag: float = 0.0) -> Sequence[Beat]:
        """The beat that is due, in as many parts as it needs; empty when none is."""
        if now < self.due_at:
            return ()
        full = now >= self._full_at + self._full_every * self._seconds
        told = dict.fromkeys(islice(self._changed, MOST))
        if full:
            told.update(dict.fromkeys(self._next(MOST - len(told))))
        self._changed = {key: None for key in self._changed if key not in told}
        self._number += 1
        self._sent_at = now
        self._full_at = now if full else self._full_at
        return self._parts(told, lag)

    def everything(self, lag: float = 0.0) -> Sequence[Beat]:
        """All figures, the newest `MOST` of them, for somebody who asks; no beat is taken by it."""
        return self._parts(islice(reversed(self._figures), MOST), lag)

    def _next(self, count: int) -> list[str]:
        """The next so many instances, in turn; those that are gone meanwhile are passed over."""
        if not self._waiting:
            self._waiting = list(self._figures)
        turn, self._waiting = self._waiting[:count], self._waiting[count:]
        return [key for key in turn if key in self._figures]

    def _parts(self, told: Iterable[str], lag: float) -> Sequence[Beat]:
        keys = list(told)
        starts = range(0, max(1, len(keys)), PART)
        return [
            Beat(
                process=self._process,
                incarnation=self._incarnation,
                number=self._number,
                lag=lag,
                figures={key: self._figures[key] for key in keys[start : start + PART]},
                more=start + PART < len(keys),
            )
            for start in starts
        ]
