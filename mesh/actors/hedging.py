"""`Hedging`: the second attempt of a pure ask, at another instance, when the first takes longer than nineteen in twenty do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from mesh.actors.question import Question
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError
from mesh.resilience.hedging import Hedge, Pace, Paces
from mesh.resilience.racing import race

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


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
        route, now = question.route, self._peer.clock.monotonic()
        must_be_pure(route.effect, f"{route.agent}.{route.command}")
        pace = self.paces.of(target, route.what, hedge)
        pace.called()
        delay = pace.delay(now)
        first = self._measured(question, 1, pace, delay)
        if delay is None:
            return await first
        return await race(first, lambda: self._second(question, pace, now), delay)

    def _second(self, question: Question, pace: Pace, began: float) -> Coroutine[Any, Any, Envelope] | None:
        now, twin = self._peer.clock.monotonic(), question.elsewhere()
        if twin is None or not pace.begin(now - began, now):
            return None
        self._peer.counts["hedged"] += 1
        self._peer.telemetry.emit(
            "ask.hedged", agent=twin.route.agent, instance=twin.route.key, command=twin.route.command, after=now - began
        )
        return self._measured(twin, 2, pace, None)

    async def _measured(self, question: Question, number: int, pace: Pace, delay: float | None) -> Envelope:
        clock = self._peer.clock
        started = clock.monotonic()
        try:
            reply = await question(number)
        except MeshError as error:
            pace.failed(error, clock.monotonic())
            raise
        except asyncio.CancelledError:
            if delay is not None and clock.monotonic() - started >= delay:
                pace.answered(clock.monotonic() - started)
            raise
        pace.answered(clock.monotonic() - started)
        return reply


def must_be_pure(effect: str, what: str) -> None:
    """Hedging does things twice.

    Raises:
        TypeError: that is not for work with this effect.
    """
    if effect != "pure":
        raise TypeError(
            f"hedge= may have {what} done twice, and it is {effect}: declare it effect='pure' if it is, or do not hedge"
        )
