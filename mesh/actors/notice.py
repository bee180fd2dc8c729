"""`Notice`: a live event in a mailbox: nobody waits for it, and it may come by the hundred thousand.

Its handler is begun in the drain itself. One that ends without waiting for anything, as most do, needs no timer, no record
of its running and no answer. Whatever else comes of it goes on as any other message does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from types import NoneType
from typing import TYPE_CHECKING, Any

from mesh.actors.invocation import Invocation, Outcome
from mesh.actors.work import Work
from mesh.protocols.errors import MeshError

if TYPE_CHECKING:
    from mesh.actors.actor import Actor

_DONE = Outcome()
_NONE = (0, 0.0)


class Notice(Work):
    """One event for one reaction."""

    def begin(self, actor: Actor) -> bool:
        """Let its handler take its first step. True: that was all; else `invocation` is what is left, if it was begun."""
        handler, parameters = self.handler, self.handler.parameters
        if parameters.context is not None:
            return self._begin_with_context(actor, parameters.context)
        try:
            if parameters.shape == "whole":
                coroutine = actor.function(handler)(parameters.contract.decode(self.envelope.payload))
            else:
                coroutine = actor.function(handler)(**parameters.arguments(self.envelope.payload))
        except MeshError:
            return False
        self.begun = True
        rest = self._first_step(coroutine)
        if rest is not None:
            self.invocation = Invocation(actor, self)
            self.invocation.begun = rest
        return rest is None

    def _begin_with_context(self, actor: Actor, name: str) -> bool:
        invocation = Invocation(actor, self)
        try:
            arguments = self.handler.parameters.arguments(self.envelope.payload)
        except MeshError:
            return False
        self.begun, self.invocation = True, invocation
        invocation.begun = self._first_step(actor.function(self.handler)(**arguments, **{name: invocation.context}))
        return invocation.begun is None

    def _first_step(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any] | None:
        """What is left of it or came of it, None where nothing did."""
        try:
            awaited = coroutine.send(None)
        except StopIteration as end:
            if end.value is None and self.handler.output.annotation is NoneType:
                return None
            return _returned(end.value)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is judged
            return _raised(error)
        return Begun(coroutine, awaited)


def heard_out(actor: Actor, work: Work) -> Work | None:
    """Handle a notice and those behind it while they end in their first step. What comes then, if anything, is the caller's."""
    peer, mailbox = actor.peer, actor.mailbox
    monotonic, told = peer.clock.monotonic, peer.telemetry.heard
    quiet: dict[str, tuple[int, float]] = {}
    following: Work | None = work
    now = monotonic()
    while isinstance(following, Notice):
        handler, before = following.handler, now
        if handler.way != "await" or now >= following.deadline.at or peer.interceptor is not None:
            break
        if not following.begin(actor):
            break
        now = monotonic()
        if told or following.invocation is not None:
            (following.invocation or Invocation(actor, following)).tell(_DONE, now - before)
        else:
            times, seconds = quiet.get(handler.name, _NONE)
            quiet[handler.name] = times + 1, seconds + now - before
        actor.supervision.succeeded()
        following = mailbox.take()
    for name, (times, seconds) in quiet.items():
        actor.tally.add(name, seconds / times, True, times=times)
    return following


class Begun:
    """A coroutine that has taken its first step, to be awaited to its end in the same task and before that waits again."""

    __slots__ = ("_awaited", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for what it waits for; then it goes on."""
        awaited = self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:  # noqa: BLE001 - it is the coroutine's to deal with
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(value)
        except StopIteration as end:
            return end.value


async def _returned(value: Any) -> Any:
    return value


async def _raised(error: BaseException) -> Any:
    raise error
