"""`Notice`: a live event in a mailbox: nobody waits for it, and it may come by the hundred thousand.

Its handler is begun in the drain itself. One that ends without waiting for anything, as most do, needs no timer, no record
of its running and no answer. Whatever else comes of it goes on as any other message does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mesh.actors.declaring.handler import Handler
from mesh.actors.events.typed_reading import untyped
from mesh.actors.running.begun import Begun
from mesh.actors.running.doing import doing
from mesh.actors.running.invocation import DONE, Invocation
from mesh.actors.running.work import Work
from mesh.protocols.errors import MeshError

if TYPE_CHECKING:
    from mesh.actors.running.actor import Actor
    from mesh.actors.running.context import Context

Start: TypeAlias = Callable[["Notice"], Coroutine[Any, Any, Any]]


class Notice(Work):
    """One event for one reaction."""

    def leave(self, actor: Actor, rest: Awaitable[Any]) -> None:
        """It is not at its end: this is left of its handler, or came of it."""
        self.invocation = self.invocation or Invocation(actor, self)
        self.invocation.begun = rest


def heard_out(actor: Actor, work: Work) -> Work | None:
    """Handle a notice and those behind it while they end in their first step. What comes then, if anything, is the caller's."""
    following: Work | None = work
    while isinstance(following, Notice) and not following.begun:
        first, handler = following, following.handler
        if handler.way != "await" or actor.peer.interceptor is not None or actor.peer.policy.switches:
            break
        following = _run(actor, handler, first)
        if following is first:
            break
    if following is not work:
        actor.supervision.succeeded()
    if isinstance(following, Notice) and not following.begun:
        following.envelope = untyped(following.envelope)
    return following


def _run(actor: Actor, handler: Handler, first: Notice) -> Work | None:
    """As many notices to one handler as follow one another. Returns the first that is not at its end, or not of them."""
    take, start, monotonic = actor.mailbox.take, _starter(actor, handler), actor.peer.clock.monotonic
    told, mute = actor.peer.telemetry.heard, handler.output.annotation is NoneType
    notice: Work | None = first
    doing.set(None)
    times, began = 0, monotonic()
    now = began
    while isinstance(notice, Notice) and notice.handler is handler and now < notice.deadline.at:
        try:
            coroutine = start(notice)
        except MeshError:
            break
        notice.begun = True
        try:
            notice.leave(actor, Begun(coroutine, coroutine.send(None)))
            break
        except StopIteration as end:
            if not mute or end.value is not None:
                notice.leave(actor, _returned(end.value))
                break
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is judged
            notice.leave(actor, _raised(error))
            break
        before, now = now, monotonic()
        if told or notice.invocation is not None:
            (notice.invocation or Invocation(actor, notice)).tell(DONE, now - before)
        else:
            times += 1
        notice = take()
    if times:
        actor.tally.add(handler.name, (now - began) / times, True, times=times)
        if actor.flow is not None:
            actor.flow.began(now, waiting=actor.mailbox.ready, capacity=actor.capacity, times=times)
    return notice


def _starter(actor: Actor, handler: Handler) -> Start:
    """Calls the handler with a notice's payload."""
    function, parameters = actor.function(handler), handler.parameters
    decode, name = parameters.contract.decode, parameters.context
    if name is not None:
        return lambda notice: function(**parameters.arguments(notice.envelope.payload), **_context(actor, notice, name))
    if parameters.shape != "whole":
        return lambda notice: function(**parameters.arguments(notice.envelope.payload))
    if parameters.contract.annotation is msgspec.Raw:
        return lambda notice: function(notice.envelope.payload)

    def start(notice: Notice) -> Coroutine[Any, Any, Any]:
        payload: Any = notice.envelope.payload
        coroutine: Coroutine[Any, Any, Any] = function(decode(payload) if type(payload) is msgspec.Raw else payload)
        return coroutine

    return start


def _context(actor: Actor, notice: Notice, name: str) -> dict[str, Context]:
    notice.invocation = Invocation(actor, notice)
    doing.set(notice.invocation)
    return {name: notice.invocation.context}


async def _returned(value: Any) -> Any:
    return value


async def _raised(error: BaseException) -> Any:
    raise error
