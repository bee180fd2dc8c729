"""What would differ from run to run although the seed is the same: the order of sets whose elements are hashed by address.

Tasks and futures are numbered by the loop. Objects of the production code that stand in sets and are gone through in the
set's order are numbered here, as they are made. Strings are hashed alike because the runner pins PYTHONHASHSEED. Memory is
not collected while a seed runs, so that no finalizer and no weak reference has a moment of its own.
"""

from __future__ import annotations

import itertools
from typing import Any

from mesh.contract_net.quiet import QuietAward

NUMBERED: tuple[type, ...] = (QuietAward,)
_done: set[type] = set()


def number_everything() -> None:
    """Again: nothing happens."""
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
