"""Handlers that fail: one that raises or dawdles in the place of the agent's own, as often as a test asked.

It stands between the actors of a test's processes and their handlers (`Peer.interceptor`), so that what comes of it is
what would come of the agent's own mistake: a typed failure, a restart, a mark against it in the next auction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from mesh.actors.declaring.handler import Handler
from mesh.actors.running.actor import Actor
from mesh.transport.memory.server import MemoryServer

Function = Callable[..., Any]


@dataclass(eq=False)
class HandlerRule:
    """What the next `times` calls of an agent's command meet: `error`, or `seconds` of delay before the real handler."""

    agent: str
    command: str
    times: int
    error: BaseException | type[BaseException] | None = None
    seconds: float = 0.0

    def fits(self, actor: Actor, handler: Handler) -> bool:
        """Whether this call is meant; events and timers have the names of their methods."""
        return self.agent in (actor.definition.name, actor.key) and self.command in (
            "",
            handler.name,
            handler.capability,
        )


class HandlerFaults:
    """The rules of one server's processes; the first that fits is applied."""

    def __init__(self) -> None:
        self._rules: list[HandlerRule] = []

    @classmethod
    def of(cls, server: MemoryServer) -> HandlerFaults:
        """The one of this server."""
        return _OF.setdefault(server, cls())

    def add(self, rule: HandlerRule) -> None:
        """From now on."""
        self._rules.append(rule)

    def clear(self) -> None:
        """No more rules."""
        self._rules.clear()

    @property
    def due(self) -> int:
        """How many calls are still to meet a rule."""
        return sum(rule.times for rule in self._rules)

    def intercept(self, actor: Actor, handler: Handler, function: Function) -> Function:
        """What is called instead of the handler: itself, where no rule fits."""
        rule = next((each for each in self._rules if each.fits(actor, handler)), None)
        if rule is None:
            return function
        rule.times -= 1
        if rule.times <= 0:
            self._rules.remove(rule)
        if rule.error is not None:
            return _raising(rule.error, handler)
        return _slow(rule.seconds, actor, handler, function)


def _raising(error: BaseException | type[BaseException], handler: Handler) -> Function:
    def raise_(**_: Any) -> Any:
        raise error

    async def raise_soon(**_: Any) -> Any:
        raise error

    async def raise_first(**_: Any) -> AsyncIterator[Any]:
        raise error
        yield

    return {"thread": raise_, "await": raise_soon, "stream": raise_first}[handler.way]


def _slow(seconds: float, actor: Actor, handler: Handler, function: Function) -> Function:
    clock = actor.peer.clock

    async def late(**arguments: Any) -> Any:
        await clock.sleep(seconds)
        return await function(**arguments)

    async def late_items(**arguments: Any) -> AsyncIterator[Any]:
        await clock.sleep(seconds)
        async for item in function(**arguments):
            yield item

    def refuse(**_: Any) -> Any:
        raise TypeError(
            f"{actor.definition.name}.{handler.name} is a plain function and runs in a thread, which virtual time does "
            "not reach: make it `async def` to slow it down, or delay the messages to it"
        )

    return {"await": late, "stream": late_items, "thread": refuse}[handler.way]


_OF: WeakKeyDictionary[MemoryServer, HandlerFaults] = WeakKeyDictionary()
