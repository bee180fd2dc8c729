"""`BreakerRules`: what must hold of breakers: trial calls within the permits, and every permit given back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mesh.resilience.breaker import LATE, Breaker, Permit
from mesh.resilience.quality_breaker import QualityBreaker
from tests.simulation.place import HERE, Place
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants


class Trial(NamedTuple):
    """A call that a half-open breaker has let through; `ends` on the clock that the breaker is told."""

    permit: Permit
    ends: float


class Book:
    """What is known of one breaker: who was let through by it, and has not told yet how that went."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.trials: list[Trial] = []
        self.untold = 0


class BreakerRules:
    """See the module. It hears what breakers are asked and told, and counts by itself."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._books: dict[Breaker, Book] = {}
        seams.after(Breaker, "admit", self._admitted)
        seams.after(Breaker, "record", self._recorded)
        invariants.world.outside.on_tool.append(self._tool)
        seams.before(QualityBreaker, "give_back", self._given_back)

    def _admitted(self, breaker: Breaker, permit: Permit, now: float, until: float | None = None) -> None:
        book = self._books.get(breaker)
        if book is None:
            book = self._books[breaker] = Book(HERE.get())
        book.untold += not isinstance(breaker, QualityBreaker)  # of which a verdict may never come
        if breaker.state == "closed":
            return
        longest = now + breaker.policy.hold
        ends = longest if until is None else min(longest, until + LATE)
        of_now = [each for each in book.trials if each.permit.epoch == permit.epoch and each.ends > now]
        book.trials = [*of_now, Trial(permit, ends)]
        if breaker.state != "half-open":
            self._invariants.violated(f"{book.place}: a breaker that is {breaker.state} lets a call through")
        elif len(book.trials) > breaker.policy.permits:
            self._invariants.violated(
                f"{book.place}: {len(book.trials)} trial calls are under way through one half-open breaker"
            )

    def _recorded(self, breaker: Breaker, result: None, permit: Permit, *told: object) -> None:
        book = self._books.get(breaker)
        if book is None:
            return
        book.untold -= not isinstance(breaker, QualityBreaker)
        book.trials = [each for each in book.trials if each.permit is not permit]
        if book.untold < 0:
            self._invariants.violated(f"{book.place}: a breaker was told of a call that it did not let through")

    def _tool(self, tool: str, running: int) -> None:
        """A tool is really called, while so many calls of it are under way there."""
        place = HERE.get()
        mesh = self._invariants.world.process(place.name).mesh
        for (_, name), breaker in mesh.peer.tools.breakers.troubled.items() if mesh is not None else ():
            if name == tool and (breaker.state == "open" or running >= breaker.policy.permits):
                self._invariants.violated(
                    f"{place}: {tool} is called beside {running} calls, its breaker {breaker.state}"
                )

    def _given_back(self, breaker: QualityBreaker, permit: Permit, now: float) -> None:
        """Of outputs it is not known of which trial they are: so one gives back the place of another whose verdict took its own."""
        book = self._books.get(breaker)
        if book is None or permit.epoch != breaker._epoch or permit.until <= now:
            return
        trials = [each for each in book.trials if each.permit.epoch == permit.epoch and each.ends > now]
        own = next((each for each in trials if each.permit is permit), None)
        if own is not None or trials:
            trials.remove(own or trials[0])
        book.trials = trials

    def unrest(self) -> Iterator[str]:
        """Of living processes, when nothing is under way: calls that a breaker let through and never heard of again."""
        for breaker, book in self._books.items():
            if book.untold and book.place.alive:
                yield f"{book.place}: a breaker ({breaker.state}) never heard how {book.untold} calls went"
