"""`Wish`: what a caller asks for. `Question`: one wish on its way, through all its attempts."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from mesh.actors.asking.routing import Routing, Target
from mesh.actors.declaring.contract import encode_payload
from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.envelope import Envelope, value_of
from mesh.protocols.errors import BadResult, BreakerOpen, MeshError, NoResponders, TimedOut, UnknownAgent, from_fault
from mesh.resilience.breaker import Breaker, Permit
from mesh.resilience.breaker_names import Key
from mesh.resilience.deadline import Deadline
from mesh.resilience.fallback import Fallback
from mesh.resilience.hedging import Hedge
from mesh.resilience.outcome import outcome
from mesh.resilience.pipeline import DEFAULT
from mesh.resilience.quality import Trial
from mesh.resilience.retry import RetryPolicy
from mesh.resilience.variation import Vary

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

OnUsage = Callable[[Usage], None]
OnProgress = Callable[[Any], None]
OnDegraded = Callable[[str], None]


class StreamOptions(TypedDict, total=False):
    """What may be said of a stream, and of an ask."""

    command: str
    timeout: float | None
    inactivity: float | None
    on_progress: OnProgress | None
    constraints: Constraints | None


class AskOptions(StreamOptions, total=False):
    """What else may be said of an ask; `Peer.ask` explains it."""

    key: str
    hedge: Hedge | bool | None
    vary: Vary | None


class Wish(msgspec.Struct):
    """What a caller wants, as `Peer.ask` explains it. `extra`: it is one more attempt, which the budget was asked for.

    `answered_by` is set when there is a reply: the version that made it, and what for.
    """

    target: Target
    payload: Any
    lineage: Lineage
    command: str = ""
    returns: Any = Any
    timeout: float | None = None
    inactivity: float | None = None
    on_progress: OnProgress | None = None
    constraints: Constraints | None = None
    key: str = ""
    on_usage: OnUsage | None = None
    on_degraded: OnDegraded | None = None
    retry: RetryPolicy = DEFAULT
    hedge: Hedge | bool | None = None
    vary: Vary | None = None
    fallbacks: Sequence[Fallback] | None = None
    extra: bool = False
    answered_by: Key = ("", "")

    @property
    def name(self) -> str:
        """The target, as budgets and caches know it."""
        return self.target if isinstance(self.target, str) else self.target.key


class Question:
    """What is asked, the same in every attempt: the payload is encoded, and everything inherited has narrowed it.

    Calling it makes an attempt: one envelope, one reply, and the breaker hears how it went. `route` is the latest one's.
    """

    __slots__ = (
        "_constraints",
        "_failed",
        "_key",
        "_payload",
        "_peer",
        "_routing",
        "_twin",
        "_wish",
        "deadline",
        "route",
        "started",
    )

    def __init__(self, peer: Peer, routing: Routing, wish: Wish) -> None:
        lineage = wish.lineage
        self._peer = peer
        self._routing = routing
        self._wish = wish
        constraints = lineage.constraints if wish.constraints is None else lineage.narrowed(wish.constraints)
        self._constraints = constraints
        if peer.policy.switches:
            peer.policy.check(tenant=lineage.tenant)
        self.route = route = routing.resolve(wish.target, wish.command, constraints=constraints)
        if lineage.hops or lineage.chain:
            lineage.check_call(route.agent)
        self.started = peer.clock.monotonic()
        at = self.started + (route.timeout if wish.timeout is None else wish.timeout)
        inherited = lineage.deadline
        self.deadline = Deadline(peer.clock, at) if inherited is None or at <= inherited.at else inherited
        self._key = wish.key or (peer.ids.uuid() if route.effect == "idempotent" else "")
        self._payload = encode_payload(wish.payload)
        self._failed: dict[str, MeshError] = {}
        self._twin = False

    def __str__(self) -> str:
        return f"asking {self.route.agent} for {self.route.command}"

    async def __call__(self, number: int) -> Envelope:
        """Attempt `number`, from 1; those after the first go to whom has not failed yet, where there is somebody."""
        if number > 1 and not self._twin:
            self._take_another_route()
        wish, route, peer = self._wish, self.route, self._peer
        exchange, ask, started = peer.exchange, None, self.started if number == 1 else peer.clock.monotonic()
        if not peer.bus.connected:
            await exchange.connected(self.deadline, self)
            started = peer.clock.monotonic()
        envelope = self.envelope(number, started)
        breaker = peer.breakers.of(route.key, route.what, timeout=route.timeout)
        permit = breaker.admit(started, self.deadline.at)
        trial = self._admitted_by_quality(breaker, permit, started) if peer.quality.troubled else None
        self._routing.begun(route.key)
        try:
            on_part = None if wish.on_progress is None else _progress_to(wish.on_progress)
            ask = exchange.open(route.subject, envelope, self.deadline, route.process, on_part, wish.inactivity)
            if ask.unsent:
                await exchange.send(route.subject, envelope, reply=ask.reply)
            reply = await ask.future
            if reply.fault is not None:
                raise from_fault(reply.fault)
            if reply.ref is not None:
                async with self.deadline.enforce(str(self)):
                    reply = await peer.payloads.whole(reply)
        except BaseException as error:
            now = peer.clock.monotonic()
            breaker.record(permit, outcome(error), now - started, now)
            if trial is not None and not isinstance(
                error, BadResult
            ):  # there is no output that a verdict could come of
                trial.give_back()
            self._understand(error, envelope)
            raise
        finally:
            if ask is not None:
                exchange.close(ask)
            self._routing.ended(route.key)
        now = peer.clock.monotonic()
        breaker.record(permit, "success", now - started, now)
        wish.answered_by = route.output
        return reply

    def _admitted_by_quality(self, breaker: Breaker, permit: Permit, now: float) -> Trial | None:
        """Asked last, and only if its instance may be called."""
        try:
            return self._peer.quality.admit(self.route.output, self.deadline.at)
        except BreakerOpen:
            breaker.record(permit, "ignored", 0.0, now)
            raise

    def _understand(self, error: BaseException, envelope: Envelope) -> None:
        """What a failure means for the directory, for the next attempt, and for the instance that may still be at work."""
        if isinstance(error, UnknownAgent) and not self.route.exact:
            missing = self._failed[self.route.key] = NoResponders(error.message, detail={"begun": False})
            raise missing from error
        if isinstance(error, MeshError):
            self._failed[self.route.key] = error
        if isinstance(error, BadResult):
            self._peer.quality.misfits(self.route.output)
        if isinstance(error, NoResponders):
            self.nobody_listens()
        elif isinstance(error, asyncio.CancelledError | TimedOut):
            self.abandon(envelope)

    def _take_another_route(self) -> None:
        """Where there is nobody left, what the last one said is still the answer. So it is where whoever is left declares another
        effect, as while a release is rolled out: that it may be repeated was decided by the first one's, and so was the key."""
        wish, failed = self._wish, self._failed
        try:
            route = self._routing.resolve(wish.target, wish.command, constraints=self._constraints, avoid=failed)
        except MeshError as error:
            raise list(failed.values())[-1] from error
        if route.effect != self.route.effect:
            raise list(failed.values())[-1]
        self.route = route

    def elsewhere(self) -> Question | None:
        """The same question, for another instance; None: there is no other that declares it so."""
        twin = copy.copy(self)
        twin._twin, twin._failed = True, {}
        with contextlib.suppress(MeshError):
            wish, asked = self._wish, (self.route.key,)
            twin.route = self._routing.resolve(wish.target, wish.command, constraints=self._constraints, avoid=asked)
        same, alike = twin.route.key == self.route.key, twin.route.effect == self.route.effect
        return twin if alike and not same else None

    def envelope(self, number: int, now: float) -> Envelope:
        """What goes out in attempt `number`, at `now`."""
        return self._wish.lineage.compose(
            self._peer.ids,
            "command",
            self.route.command,
            self._payload,
            remaining=max(0.0, self.deadline.at - now),
            constraints=self._constraints,
            key=self._key,
            attempt=number,
            version=self._peer.tongue.version,
        )

    def nobody_listens(self) -> None:
        """The server said so: its process is passed over until it gives a sign of life."""
        self._peer.directory.suspect(self.route.process, "nobody listens there")

    def abandon(self, envelope: Envelope) -> None:
        """Nobody waits any more: tell the instance, unless its own deadline does so by itself."""
        if self.deadline.expired:
            return
        payload = msgspec.Raw(msgspec.json.encode({"id": envelope.id}))
        cancel = self._wish.lineage.compose(
            self._peer.ids, "control", "cancel", payload, waits=False, version=envelope.v
        )
        with contextlib.suppress(MeshError):
            self._peer.bus.publish(self.route.subject, msgspec.json.encode(cancel))


def _progress_to(on_progress: OnProgress) -> Callable[[Envelope], None]:
    return lambda part: on_progress(value_of(part)) if part.kind == "progress" else None
