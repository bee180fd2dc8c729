"""Hedging at work: a second attempt at something `pure`, elsewhere, when the first takes longer than nineteen in twenty do.

`hedged` is for whoever has something to attempt; `Hedging` does it for asks, `contract_net/hedged.py` for awards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from mesh.actors.asking.question import Question
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock
from mesh.resilience.hedging import Hedge, Pace, Paces
from mesh.resilience.racing import race

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

T = TypeVar("T")


class Hedging:
    """The hedges of one process. What is measured is what is hedged, and nothing else."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.paces = Paces()

    async def ask(self, question: Question, target: str, hedge: Hedge | bool) -> Envelope:
        """The first attempts at a question, one or two: the first good reply, and the other attempt is cancelled.

        Raises:
            TypeError: what is asked for is not `pure`. Otherwise what the first attempt raises, if both fail.
        """
        route = question.route
        must_be_pure(route.effect, f"{route.agent}.{route.command}")

        def elsewhere() -> Coroutine[Any, Any, Envelope] | None:
            twin = question.elsewhere()
            return None if twin is None else self.noted(lambda: twin(2), target, twin.route.key)

        return await hedged(self._peer.clock, self.paces.of(target, route.what, hedge), question(1), elsewhere)

    async def noted(self, attempt: Callable[[], Coroutine[Any, Any, T]], target: str, instance: str = "") -> T:
        """A second attempt, counted and told when it begins."""
        self._peer.counts["hedged"] += 1
        self._peer.telemetry.emit("call.hedged", target=target, instance=instance)
        return await attempt()


async def hedged(
    clock: Clock, pace: Pace, first: Coroutine[Any, Any, T], second: Callable[[], Coroutine[Any, Any, T] | None]
) -> T:
    """What `first` gives, or `second`, which is begun if that takes long and the pace allows it; None: there is none."""
    began = clock.monotonic()
    pace.called()
    delay = pace.delay(began)
    attempt = _measured(clock, pace, first, delay)
    if delay is None:
        return await attempt

    def another() -> Coroutine[Any, Any, T] | None:
        if (found := second()) is None:
            return None
        now = clock.monotonic()
        if pace.begin(now - began, now):
            return _measured(clock, pace, found, None)
        found.close()
        return None

    return await race(attempt, another, delay)


async def _measured(clock: Clock, pace: Pace, attempt: Coroutine[Any, Any, T], delay: float | None) -> T:
    """Let the pace know how it went. Whoever was overtaken has taken longer than its time; who was given up says nothing."""
    started = clock.monotonic()
    try:
        found = await attempt
    except MeshError as error:
        pace.failed(error, clock.monotonic())
        raise
    except asyncio.CancelledError:
        if delay is not None and clock.monotonic() - started >= delay:
            pace.answered(clock.monotonic() - started)
        raise
    pace.answered(clock.monotonic() - started)
    return found


def must_be_pure(effect: str, what: str) -> None:
    """Hedging does things twice.

    Raises:
        TypeError: that is not for work with this effect.
    """
    if effect != "pure":
        raise TypeError(
            f"hedge= may have {what} done twice, and it is {effect}: declare it effect='pure' if it is, or do not hedge"
        )
