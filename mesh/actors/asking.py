"""`Asking`: `ask`, `tell` and `stream`: one route, one envelope, one breaker an attempt, and never without an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.contract import Contract, encode_payload
from mesh.actors.lineage import Lineage
from mesh.actors.routing import Route, Routing, Target
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.envelope import Envelope, value_of
from mesh.protocols.errors import BadPayload, BadResult, MeshError, NoResponders, TimedOut, UnknownAgent, from_fault
from mesh.resilience.budget import RetryBudget
from mesh.resilience.deadline import Deadline
from mesh.resilience.pipeline import DEFAULT, at_the_end, protect
from mesh.resilience.retry import RetryPolicy

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

OnUsage = Callable[[Usage], None]
OnProgress = Callable[[Any], None]
BUDGETS = 10_000


@dataclass(slots=True)
class Wish:
    """What a caller wants, as `Peer.ask` explains it."""

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
    retry: RetryPolicy = DEFAULT


@dataclass(slots=True)
class Question:
    """What is asked, the same in every attempt: the payload is encoded, and everything inherited has narrowed it."""

    wish: Wish
    payload: msgspec.Raw
    deadline: Deadline
    constraints: Constraints | None
    key: str


class Asking:
    """The asking side of one process."""

    def __init__(self, peer: Peer, routing: Routing) -> None:
        self._peer = peer
        self._routing = routing
        self._exchange = peer.exchange
        self._budgets: dict[str, RetryBudget] = {}
        self._contracts: dict[Any, Contract] = {}

    async def ask(self, wish: Wish) -> Any:
        """As `Peer.ask`."""
        question, route = self._question(wish)
        tried: dict[str, MeshError] = {}

        async def attempt(number: int) -> Envelope:
            nonlocal route
            if number > 1:
                route = self._another(question, tried)
            try:
                return await self._attempt(question, route, number)
            except MeshError as error:
                tried[route.key] = error
                raise

        reply = await protect(
            attempt,
            deadline=question.deadline,
            clock=self._peer.clock,
            source=self._peer.ids.random,
            budget=self._budget(wish.target),
            effect=route.effect,
            policy=wish.retry,
            what=f"asking {route.agent} for {route.command}",
        )
        if wish.on_usage is not None and reply.usage is not None:
            wish.on_usage(reply.usage)
        return self.read(reply.payload, wish.returns)

    def _question(self, wish: Wish) -> tuple[Question, Route]:
        lineage = wish.lineage
        constraints = lineage.narrowed(wish.constraints)
        route = self._routing.resolve(wish.target, wish.command, constraints=constraints)
        lineage.check_call(route.agent)
        deadline = Deadline.after(self._peer.clock, route.timeout if wish.timeout is None else wish.timeout)
        if lineage.deadline is not None and lineage.deadline.at < deadline.at:
            deadline = lineage.deadline
        key = wish.key or (self._peer.ids.uuid() if route.effect == "idempotent" else "")
        return Question(wish, encode_payload(wish.payload), deadline, constraints, key), route

    def _another(self, question: Question, tried: dict[str, MeshError]) -> Route:
        """Where to try next; where there is nobody left, what the last one said is still the answer."""
        wish = question.wish
        try:
            return self._routing.resolve(wish.target, wish.command, constraints=question.constraints, avoid=tried)
        except MeshError as error:
            raise list(tried.values())[-1] from error

    async def _attempt(self, question: Question, route: Route, number: int) -> Envelope:
        envelope = self._envelope(question, route, number)
        self._routing.outstanding[route.key] += 1
        try:
            with self._peer.breakers.guard(route.key, route.what, timeout=route.timeout):
                return await self._exchange.ask(
                    route.subject,
                    envelope,
                    deadline=question.deadline,
                    responder=route.process,
                    inactivity=question.wish.inactivity,
                    on_part=_progress_to(question.wish.on_progress),
                )
        except UnknownAgent as error:
            if route.exact:
                raise
            raise NoResponders(error.message, detail={"begun": False}) from error
        except NoResponders:
            self._peer.directory.suspect(route.process, "nobody listens there")
            raise
        except (asyncio.CancelledError, TimedOut):
            self._abandon(route, envelope, question)
            raise
        finally:
            self._settle(route.key)

    def _settle(self, key: str) -> None:
        self._routing.outstanding[key] -= 1
        if self._routing.outstanding[key] <= 0:
            del self._routing.outstanding[key]

    def _envelope(self, question: Question, route: Route, number: int) -> Envelope:
        return question.wish.lineage.compose(
            self._peer.ids,
            "command",
            route.command,
            question.payload,
            remaining=max(0.0, question.deadline.remaining()),
            constraints=question.constraints,
            key=question.key,
            attempt=number,
            version=self._peer.tongue.version,
        )

    def _abandon(self, route: Route, envelope: Envelope, question: Question) -> None:
        """Nobody waits any more: tell the instance, unless its own deadline does so by itself."""
        if question.deadline.expired:
            return
        payload = msgspec.Raw(msgspec.json.encode({"id": envelope.id}))
        cancel = question.wish.lineage.compose(
            self._peer.ids, "control", "cancel", payload, waits=False, version=envelope.v
        )
        with contextlib.suppress(MeshError):
            self._peer.bus.publish(route.subject, msgspec.json.encode(cancel))

    async def stream(self, wish: Wish) -> AsyncIterator[Any]:
        """As `Peer.stream`."""
        question, route = self._question(wish)
        envelope = self._envelope(question, route, 1)
        ended = False
        try:
            with self._peer.breakers.guard(route.key, route.what, timed=False):
                async for part in self._parts(route, envelope, question.deadline, wish.inactivity):
                    if part.kind == "item":
                        yield self.read(part.payload, wish.returns)
                    elif part.kind == "reply":
                        ended = True
                        if wish.on_usage is not None and part.usage is not None:
                            wish.on_usage(part.usage)
                    elif wish.on_progress is not None:
                        wish.on_progress(value_of(part))
        except MeshError as error:
            ended = not isinstance(error, TimedOut)
            if isinstance(error, NoResponders):
                self._peer.directory.suspect(route.process, "nobody listens there")
            raise at_the_end(error, question.deadline, f"streaming {route.command} of {route.agent}") from None
        finally:
            if not ended:
                self._abandon(route, envelope, question)

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
        route = self._routing.resolve(target, command, constraints=lineage.constraints)
        remaining = route.timeout if timeout is None else timeout
        envelope = lineage.compose(
            self._peer.ids, "command", route.command, encode_payload(payload), waits=False, remaining=remaining,
            key=key, version=self._peer.tongue.version,
        )  # fmt: skip
        await self._exchange.send(route.subject, envelope)

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

    def _budget(self, target: Target) -> RetryBudget:
        name = target if isinstance(target, str) else target.key
        found = self._budgets.get(name)
        if found is None:
            if len(self._budgets) >= BUDGETS:
                self._budgets.clear()
            found = self._budgets[name] = RetryBudget()
        return found


def _progress_to(on_progress: OnProgress | None) -> Callable[[Envelope], None] | None:
    if on_progress is None:
        return None
    return lambda part: on_progress(value_of(part)) if part.kind == "progress" else None


def _silence(route: Route, deadline: Deadline, inactivity: float | None) -> MeshError:
    if deadline.expired or inactivity is None:
        return TimedOut(f"{route.agent} did not finish in time")
    return TimedOut(f"no sign of life of {route.agent} for {inactivity:g} s")
