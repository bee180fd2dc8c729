"""`Recourse`: what an ask does when it has come to nothing: first variations, then fallbacks.

Both stay within the ask's deadline, and a share of it is kept back for the fallbacks. Variations are extra calls as retries
are, and take from the same budget.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.asking.question import Wish
from mesh.actors.asking.routing import Routing
from mesh.actors.declaring.contract import encode_payload
from mesh.actors.declaring.marks import TIMEOUT
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError, Unavailable
from mesh.resilience.deadline import Deadline
from mesh.resilience.fallback import (
    Answer,
    Cached,
    Degraded,
    Fallback,
    FallbackAgent,
    Person,
    kept_back,
    worth_a_fallback,
)
from mesh.resilience.fallback_cache import AnswerCache, key_of
from mesh.resilience.retry import not_begun
from mesh.resilience.variation import Variation, next_variation, varies

if TYPE_CHECKING:
    from mesh.actors.asking.asking import Asking
    from mesh.actors.peer import Peer


class Recourse:
    """For the asks of one process. `cache` keeps the good answers of those that may fall back on it."""

    def __init__(self, peer: Peer, routing: Routing, asking: Asking) -> None:
        self._peer = peer
        self._routing = routing
        self._asking = asking
        self.cache = AnswerCache(peer.clock)

    async def ask(self, wish: Wish) -> Any:
        """What was asked for; as an `Answer` where there are fallbacks, none of them included.

        Raises:
            The first error where nothing helped; its detail says what was tried: `variations` and `fallbacks`.
        """
        at, effect = self._end(wish)
        if wish.fallbacks is None:
            _, value = await self._varied(_until(wish, at, self._peer), effect)
            return value
        return await self._answer(wish, tuple(wish.fallbacks), at, effect)

    def _end(self, wish: Wish) -> tuple[float, Effect]:
        """When the whole ask is over, on the monotonic clock, and the effect of what is asked for."""
        timeout = wish.timeout
        effect: Effect = "costly"
        try:
            route = self._routing.resolve(wish.target, wish.command)
        except MeshError:
            timeout = TIMEOUT if timeout is None else timeout
        else:
            timeout, effect = route.timeout if timeout is None else timeout, route.effect
        at, inherited = self._peer.clock.monotonic() + timeout, wish.lineage.deadline
        return (at if inherited is None else min(at, inherited.at)), effect

    # -- variations

    async def _varied(self, wish: Wish, effect: Effect) -> tuple[Envelope, Any]:
        """The reply and what was read of it, of the first way of asking that gives one."""
        first, number, tried = wish, 0, list[str]()
        while True:
            try:
                reply = await self._asking.replied(wish)
                return reply, self._asking.judged(wish.answered_by, reply.payload, wish.returns)
            except MeshError as error:
                number += 1
                variation = self._next(first, effect, error, number)
                if variation is None:
                    if tried:
                        error.detail["variations"] = tried
                    raise
                tried.append(f"{error.code}, then {variation.words}")
                self._tell("ask.varied", first, error, how=variation.words, number=number)
                wish = _as_varied(first, variation, number)

    def _next(self, wish: Wish, effect: Effect, error: MeshError, number: int) -> Variation | None:
        if wish.vary is None or effect == "at_most_once" or not varies(error):
            return None
        variation = next_variation(wish.vary, error, number)
        if variation is None or not self._asking.budgets.of(wish.name).spend():
            return None
        return variation

    # -- fallbacks

    async def _answer(self, wish: Wish, fallbacks: tuple[Fallback, ...], at: float, effect: Effect) -> Answer[Any]:
        began = self._peer.clock.monotonic()
        ends = [began + share * (at - began) for share in kept_back(fallbacks)]
        wish = msgspec.structs.replace(wish, payload=encode_payload(wish.payload), fallbacks=None)
        key = _key(wish) if any(isinstance(each, Cached) for each in fallbacks) else b""
        try:
            reply, value = await self._varied(_until(wish, ends[0], self._peer), effect)
        except MeshError as error:
            if not worth_a_fallback(error):
                raise
            return await self._instead(wish, fallbacks, ends[1:], effect, error, key)
        by = _by(reply)
        if reply.degraded:
            return Answer(value=value, source="degraded", why=reply.degraded, by=by)
        if key:
            self.cache.put(key, reply.payload, by)
        return Answer(value=value, by=by)

    async def _instead(
        self,
        wish: Wish,
        fallbacks: tuple[Fallback, ...],
        ends: list[float],
        effect: Effect,
        error: MeshError,
        key: bytes,
    ) -> Answer[Any]:
        """The first fallback that has an answer."""
        doubtful, said = effect == "at_most_once" and not not_begun(error), list[str]()
        for each, end in zip(fallbacks, ends, strict=True):
            if doubtful and isinstance(each, FallbackAgent | Person):
                said.append(f"{each.source}: not asked, it may be done at most once and may have been done already")
                continue
            try:
                answer = await self._fall_back(each, wish, end, error, key)
            except MeshError as failed:
                said.append(f"{each.source}: {failed.code}: {failed.message}")
                continue
            self._tell("ask.fell_back", wish, error, how=answer.source)
            if wish.on_degraded is not None:
                wish.on_degraded(answer.why if answer.source == "degraded" else f"{answer.source}: {answer.why}")
            return answer
        if said:
            error.detail["fallbacks"] = said
        raise error

    async def _fall_back(self, fallback: Fallback, wish: Wish, end: float, error: MeshError, key: bytes) -> Answer[Any]:
        why = f"{error.code}: {error.message}"
        match fallback:
            case Cached(max_age):
                kept = self.cache.get(key, max_age)
                if kept is None:
                    raise Unavailable(f"no answer of the last {max_age:g} s is kept")
                value = self._asking.read(msgspec.Raw(kept.payload), wish.returns)
                return Answer(value=value, source="cached", why=why, by=kept.by)
            case Degraded(value):
                made = value(error) if callable(value) else value
                return Answer(value=await made if inspect.isawaitable(made) else made, source="degraded", why=why)
            case FallbackAgent(target, command):
                other = msgspec.structs.replace(_until(wish, end, self._peer), target=target, command=command)
            case Person(target, command, patience):
                other = msgspec.structs.replace(wish, target=target, command=command, timeout=patience)
        other = msgspec.structs.replace(other, vary=None, hedge=None, on_degraded=None)
        reply = await self._asking.replied(other)
        value = self._asking.judged(other.answered_by, reply.payload, wish.returns)
        why = f"{why}; and what came instead is degraded: {reply.degraded}" if reply.degraded else why
        return Answer(value=value, source=fallback.source, why=why, by=_by(reply))

    def _tell(self, event: str, wish: Wish, error: MeshError, **about: Any) -> None:
        lineage = wish.lineage
        self._peer.telemetry.emit(
            event, level="warning", target=wish.name, command=wish.command, error=error.code, message=error.message,
            job=lineage.job, step=lineage.step, correlation=lineage.correlation, **about,
        )  # fmt: skip


def _until(wish: Wish, at: float, peer: Peer) -> Wish:
    """The wish with an absolute end."""
    lineage = msgspec.structs.replace(wish.lineage, deadline=Deadline(peer.clock, at))
    return msgspec.structs.replace(wish, lineage=lineage, timeout=max(0.0, at - peer.clock.monotonic()))


def _as_varied(wish: Wish, variation: Variation, number: int) -> Wish:
    """Another way of asking is another piece of work: it has a key of its own."""
    constraints = variation.constraints if variation.constraints is not None else wish.constraints
    if variation.labels:
        whole = constraints or Constraints()
        constraints = msgspec.structs.replace(whole, labels={**whole.labels, **variation.labels})
    return msgspec.structs.replace(
        wish,
        payload=wish.payload if variation.payload is msgspec.UNSET else variation.payload,
        command=variation.command or ("" if variation.target else wish.command),
        target=variation.target or wish.target,
        constraints=constraints,
        key=wish.key and f"{wish.key}/{number}",
        extra=True,
    )


def _key(wish: Wish) -> bytes:
    """Of the question: `wish` has its payload encoded."""
    constraints = wish.lineage.narrowed(wish.constraints) or Constraints()
    return key_of(wish.lineage.tenant, wish.name, wish.command, wish.payload, constraints.boundary, constraints.labels)


def _by(reply: Envelope) -> str:
    return f"{reply.sender.agent}.{reply.sender.instance}"
