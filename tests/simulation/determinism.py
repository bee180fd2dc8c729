"""What one process of the operating system has for itself, and what would differ from run to run although the seed is the same.

A place has its own alarms, as a process has. Tasks and futures, which stand in sets, are numbered by the loop; objects of the
production code that stand in sets, and are gone through in the set's order, are numbered here as they are met. Strings are
hashed alike because the runner pins PYTHONHASHSEED. Memory is not collected while a seed runs, so that no finalizer and no weak
reference has a moment of its own.
"""

from __future__ import annotations

import itertools
from typing import Any

from mesh.contract_net.quiet import QuietAward
from mesh.resilience import alarms
from tests.simulation.place import HERE

NUMBERED: tuple[type, ...] = (QuietAward,)
_done: set[type] = set()


class _AlarmsOfPlaces:
    """A place has a heap of alarms of its own, as a process of the operating system has: they die with it."""

    @property
    def alarms(self) -> alarms.Alarms | None:
        """Those of the place that runs."""
        return HERE.get().alarms

    @alarms.setter
    def alarms(self, made: alarms.Alarms) -> None:
        HERE.get().alarms = made


def number_everything() -> None:
    """Again: nothing happens."""
    alarms._here = _AlarmsOfPlaces()  # type: ignore[assignment]
    for kind in NUMBERED:
        if kind not in _done:
            _done.add(kind)
            _number(kind)


def _number(kind: Any) -> None:
    counter = itertools.count()
    numbers: dict[int, int] = {}

    def number(self: Any) -> int:
        found = numbers.get(id(self))
        if found is None:
            found = numbers[id(self)] = next(counter)
        return found

    kind.__hash__ = number
