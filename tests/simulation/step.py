"""`Step`: what asyncio calls a handle. Something to run, and where; so many are made that each is as small as can be."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import msgspec

from tests.simulation.place import Place


class Step(msgspec.Struct, eq=False):
    """Run `callback` in `context`, in `place`; `due` by the clock of the place that asked for it."""

    callback: Callable[..., Any] | None
    args: tuple[Any, ...]
    context: Context
    place: Place
    due: float = 0.0

    def cancel(self) -> None:
        """It is passed over. Again: nothing happens."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it is passed over."""
        return self.callback is None

    def when(self) -> float:
        """When it is due."""
        return self.due
