"""`Asking`: `ask`, `tell` and `stream`: one route, one envelope, one breaker an attempt, and never without an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.asking.hedging import Hedging
from mesh.actors.asking.question import OnProgress as OnProgress
from mesh.actors.asking.question import OnUsage as OnUsage
from mesh.actors.asking.question import Question, Wish
from mesh.actors.asking.recourse import Recourse
from mesh.actors.asking.routing import Route, Routing, Target
from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.envelope import Envelope, value_of
from mesh.protocols.errors import BadPayload, BadResult, MeshError, NoResponders, TimedOut, from_fault
from mesh.resilience.breaker_names import Key
from mesh.resilience.budget import RetryBudget, RetryBudgets
from mesh.resilience.deadline import Deadline
from mesh.resilience.pipeline import at_the_end, repeat
from mesh.resilience.retry import RetryPolicy

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


class Asking:
    """The asking side of one process."""

    def __init__(self, peer: Peer, routing: Routing) -> None:
        self._peer = peer
        self._routing = routing
        self._exchange = peer.exchange
        self.budgets = RetryBudgets()
        self.hedging = Hedging(peer)
        self._recourse = Recourse(peer, routing, self)
        self._contracts: dict[Any, Contract] = {}

    async def ask(self, wish: Wish) -> Any:
        """As `Peer.ask`."""
        if wish.vary is not None or wish.fallbacks is not None:
            return await self._recourse.ask(wish)
        reply = await self.replied(wish)
        return self.judged(wish.answered_by, reply.payload, wish.returns)

    async def replied(self, wish: Wish) -> Envelope:
        """The good reply, after one attempt or some; whoever wants to hear of its usage, and that it is degraded, does."""
        question = Question(self._peer, self._routing, wish)
        if question.deadline.at <= question.started:
            question.deadline.check(question)
        budget = self.budgets.of(wish.name)
        if not wish.extra:
            budget.called()
        hedge = question.route.hedge if wish.hedge is None else wish.hedge
        try:
            reply = await (self.hedging.ask(question, wish.name, hedge) if hedge else question(1))
        except MeshError as error:
            reply = await self._again(question, error, budget, wish.retry)
        _tell(wish, reply)
        return reply

    async def _again(self, question: Question, error: MeshError, budget: RetryBudget, policy: RetryPolicy) -> Envelope:
        return await repeat(
            question,
            error,
            deadline=question.deadline,
            clock=self._peer.clock,
            source=self._peer.ids.random,
            budget=budget,
            effect=question.route.effect,
            policy=policy,
            what=str(question),
        )

    async def stream(self, wish: Wish) -> AsyncIterator[Any]:
        """As `Peer.stream`."""
        question = Question(self._peer, self._routing, wish)
        question.deadline.check(question)
        if not self._peer.bus.connected:
            await self._exchange.connected(question.deadline, question)
        route, envelope = question.route, question.envelope(1, self._peer.clock.monotonic())
        ended, trial = False, None
        try:
            with self._peer.breakers.guard(route.key, route.what, timed=False):
                trial = self._peer.quality.admit(route.output, question.deadline.at)
                async for part in self._parts(route, envelope, question.deadline, wish.inactivity):
                    if part.kind == "item":
                        yield self.read(part.payload, wish.returns)
                    elif part.kind == "reply":
                        ended, trial = True, None
                        self._peer.quality.fits(route.output)
                        _tell(wish, part)
                    elif wish.on_progress is not None:
                        wish.on_progress(value_of(part))
        except MeshError as error:
            ended = not isinstance(error, TimedOut)
            if isinstance(error, NoResponders):
                question.nobody_listens()
            elif isinstance(error, BadResult):
                self._peer.quality.misfits(route.output)
            raise at_the_end(error, question.deadline, f"streaming {route.command} of {route.agent}") from None
        finally:
            if trial is not None:
                trial.give_back()
            if not ended:
                question.abandon(envelope)

    async def _parts(
        self, route: Route, envelope: Envelope, deadline: Deadline, inactivity: float | None
    ) -> AsyncIterator[Envelope]:
        """Items in their order and progress, then the reply."""
        items = 0
        async with await self._exchange.converse(
            route.subject, envelope, deadline=deadline, responder=route.process
        ) as conversation:
            while True:
                answer = await conversation.next(inactivity)
                if answer is None:
                    raise _silence(route, deadline, inactivity)
                part = answer.envelope
                if part.fault is not None:
                    raise from_fault(part.fault)
                if part.kind != "progress" and part.seq != items:
                    raise TimedOut(f"item {items} of {route.agent} was lost")
                items += part.kind == "item"
                yield part
                if part.kind == "reply":
                    return

    async def tell(
        self, target: Target, payload: Any, *, command: str, timeout: float | None, lineage: Lineage, key: str
    ) -> None:
        """As `Peer.tell`."""
        if self._peer.policy.switches:
            self._peer.policy.check(tenant=lineage.tenant)
        route = self._routing.resolve(target, command, constraints=lineage.constraints)
        remaining = route.timeout if timeout is None else timeout
        envelope = lineage.compose(
            self._peer.ids, "command", route.command, encode_payload(payload), waits=False, remaining=remaining,
            key=key, version=self._peer.tongue.version,
        )  # fmt: skip
        await self._exchange.send(route.subject, envelope)

    def judged(self, output: Key, payload: msgspec.Raw, returns: Any) -> Any:
        """A result as the caller wants it, as `read`; whether it fits is a verdict on the version that made it.

        Raises:
            BadResult: it does not.
        """
        quality = self._peer.quality
        try:
            value = self.read(payload, returns)
        except BadResult:
            quality.misfits(output)
            raise
        quality.fits(output)
        return value

    def read(self, payload: msgspec.Raw, returns: Any) -> Any:
        """A result as the caller wants it: decoded JSON, or a value that fits `returns`.

        Raises:
            BadResult: it does not fit.
        """
        if returns is msgspec.Raw:
            return payload
        try:
            return self._contract(returns).decode(payload)
        except BadPayload as error:
            raise BadResult(f"what came back {error.message}", detail=error.detail) from None

    def _contract(self, returns: Any) -> Contract:
        try:
            found = self._contracts.get(returns)
        except TypeError:
            return Contract.of(returns)
        if found is None:
            found = self._contracts[returns] = Contract.of(returns)
        return found


def _tell(wish: Wish, reply: Envelope) -> None:
    """What stands on a reply besides its payload."""
    if wish.on_usage is not None and reply.usage is not None:
        wish.on_usage(reply.usage)
    if reply.degraded and wish.on_degraded is not None:
        wish.on_degraded(reply.degraded)


def _silence(route: Route, deadline: Deadline, inactivity: float | None) -> MeshError:
    if deadline.expired or inactivity is None:
        return TimedOut(f"{route.agent} did not finish in time")
    return TimedOut(f"no sign of life of {route.agent} for {inactivity:g} s")
