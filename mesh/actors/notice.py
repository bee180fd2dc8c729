"""`Notice`: a live event in a mailbox: nobody waits for it, and it may come by the hundred thousand.

Its handler is begun in the drain itself. One that ends without waiting for anything, as most do, needs no timer, no record
of its running and no answer. Whatever else comes of it goes on as any other message does.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import NoneType
from typing import TYPE_CHECKING, Any

from mesh.actors.begun import Begun
from mesh.actors.invocation import DONE, Invocation
from mesh.actors.work import Work
from mesh.protocols.errors import MeshError

if TYPE_CHECKING:
    from mesh.actors.actor import Actor

_NONE = (0, 0.0)


class Notice(Work):
    """One event for one reaction."""

    def begin(self, actor: Actor) -> bool:
        """Let its handler take its first step. True: that was all; else `invocation` is what is left, if it was begun."""
        handler, invocation = self.handler, None
        parameters, payload = handler.parameters, self.envelope.payload
        try:
            if parameters.context is not None:
                invocation = self.invocation = Invocation(actor, self)
                context = {parameters.context: invocation.context}
                coroutine = actor.function(handler)(**parameters.arguments(payload), **context)
            elif parameters.shape == "whole":
                coroutine = actor.function(handler)(parameters.contract.decode(payload))
            else:
                coroutine = actor.function(handler)(**parameters.arguments(payload))
        except MeshError:
            return False
        self.begun = True
        try:
            rest: Awaitable[Any] = Begun(coroutine, coroutine.send(None))
        except StopIteration as end:
            if end.value is None and handler.output.annotation is NoneType:
                return True
            rest = _returned(end.value)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is judged
            rest = _raised(error)
        self.invocation = invocation or Invocation(actor, self)
        self.invocation.begun = rest
        return False


def heard_out(actor: Actor, work: Work) -> Work | None:
    """Handle a notice and those behind it while they end in their first step. What comes then, if anything, is the caller's."""
    peer, take = actor.peer, actor.mailbox.take
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
            (following.invocation or Invocation(actor, following)).tell(DONE, now - before)
        else:
            times, seconds = quiet.get(handler.name, _NONE)
            quiet[handler.name] = times + 1, seconds + now - before
        following = take()
    if following is not work:
        actor.supervision.succeeded()
    for name, (times, seconds) in quiet.items():
        actor.tally.add(name, seconds / times, True, times=times)
    return following


async def _returned(value: Any) -> Any:
    return value


async def _raised(error: BaseException) -> Any:
    raise error
