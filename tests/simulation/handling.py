"""`Handling`: one message in the hands of a handler, as the handler itself sees it: the moment in which work is really begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mesh import Context
from tests.simulation.place import HERE, Place


class Handling:
    """`place` is where, `capability` what for; `ended` once it is over."""

    __slots__ = ("capability", "context", "ended", "place")

    def __init__(self, capability: str, context: Context) -> None:
        self.place: Place = HERE.get()
        self.capability = capability
        self.context = context
        self.ended = False

    @property
    def key(self) -> tuple[Place, str, str]:
        """The actor whose hands these are."""
        return self.place, self.context.agent, self.context.instance

    def __str__(self) -> str:
        context = self.context
        return f"{self.capability} of {context.agent}.{context.instance} in {self.place} for {context.tenant}"


class Handlings:
    """All that are under way. `on_begin` hears of each when it begins; of its like, only those before it are in `of` then."""

    def __init__(self) -> None:
        self.on_begin: list[Callable[[Handling], None]] = []
        self._running: dict[tuple[Place, str, str], list[Handling]] = {}

    def of(self, handling: Handling) -> list[Handling]:
        """What runs in the same hands."""
        return self._running.setdefault(handling.key, [])

    @contextmanager
    def begun(self, capability: str, context: Context) -> Iterator[None]:
        """Inside, a handler is at work."""
        handling = Handling(capability, context)
        for tell in self.on_begin:
            tell(handling)
        running = self.of(handling)
        running.append(handling)
        try:
            yield
        finally:
            running.remove(handling)
            handling.ended = True
