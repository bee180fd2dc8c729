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


class Notice(Work):
    """One event for one reaction."""

    def handled(self, actor: Actor) -> bool:
        """Handle it as far as that goes without waiting. False: it is not at its end, `invocation` is what is left to run."""
        peer, handler, parameters = actor.peer, self.handler, self.handler.parameters
        started = peer.clock.monotonic()
        if handler.way != "await" or peer.interceptor is not None or started >= self.deadline.at:
            return False
        invocation = None if parameters.context is None else Invocation(actor, self)
        try:
            arguments = parameters.arguments(self.envelope.payload)
        except MeshError:
            return False
        if invocation is not None and parameters.context is not None:
            arguments[parameters.context] = invocation.context
        rest = self._begin(actor.function(handler)(**arguments))
        if rest is not None:
            self.invocation = invocation or Invocation(actor, self)
            self.invocation.begun = rest
            return False
        seconds = peer.clock.monotonic() - started
        if invocation is not None or peer.telemetry.heard:
            (invocation or Invocation(actor, self)).tell(_DONE, seconds)
        else:
            actor.told(self, _DONE, seconds)
        actor.supervision.succeeded()
        return True

    def _begin(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any] | None:
        """Take the handler's first step. None: that was all; else what is left of it, or what came of it."""
        self.begun = True
        try:
            awaited = coroutine.send(None)
        except StopIteration as end:
            if end.value is None and self.handler.output.annotation is NoneType:
                return None
            return _returned(end.value)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is judged
            return _raised(error)
        return Begun(coroutine, awaited)


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
