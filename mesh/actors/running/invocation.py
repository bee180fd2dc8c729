"""`Invocation`: one message through one handler: decode, run under the deadline, encode, answer, tell telemetry.

Every ending has a type: a value, a typed refusal of the handler, or HandlerFailed for anything else it raises. Nothing a
handler raises gets further than here, except that `outcome` says what the supervision must hear.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import traceback
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mesh.actors.running.begun import Begun
from mesh.actors.running.context import Context
from mesh.actors.running.doing import conversation_of, doing
from mesh.actors.running.exhaustion import exhausted
from mesh.actors.running.work import Work
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import AgentLost, Cancelled, Draining, HandlerFailed, MeshError
from mesh.telemetry.redaction import redacted

if TYPE_CHECKING:
    from mesh.actors.keeping.effects import Effects
    from mesh.actors.running.actor import Actor

ExitStatus = Literal["success", "semantic_failure", "exception"]
MESSAGE_LIMIT = 500


class Outcome(msgspec.Struct):
    """How it ended. `raised` is what the handler raised by mistake, `stop` says that the actor itself is being stopped."""

    error: MeshError | None = None
    raised: BaseException | None = None
    stop: bool = False

    @property
    def exit_status(self) -> ExitStatus:
        """As it stands in the usage and in the log."""
        if self.error is None:
            return "success"
        failed = isinstance(self.error, HandlerFailed) or self.error.error_class != "semantic"
        return "exception" if failed else "semantic_failure"


DONE = Outcome()
"""It went well."""


class Invocation:
    """One run of one handler: `begin` lets it take its first step, `finish` the others, `answer` says how it ended.

    Most handlers that only compute are done with their first step: those need no deadline (nothing could cancel them), and
    nobody can see them running.
    """

    __slots__ = ("_actor", "_context", "_value", "_work", "begun", "started", "thread")

    def __init__(self, actor: Actor, work: Work) -> None:
        self._actor = actor
        self._work = work
        self._context: Context | None = None
        self.started = actor.peer.clock.monotonic()
        self._value = NULL
        self.begun: Awaitable[Any] | None = None
        self.thread: asyncio.Future[Any] | None = None

    @property
    def context(self) -> Context:
        """The handler's surroundings, made when first needed."""
        if self._context is None:
            self._context = Context(self._actor, self._work)
        return self._context

    # -- as what is being done (`doing`)

    @property
    def key(self) -> str:
        """The idempotency key of the work."""
        return self._work.envelope.key or self._work.envelope.id

    @property
    def tenant(self) -> str:
        """On whose account it is."""
        return self._work.envelope.tenant

    @property
    def conversation(self) -> str:
        """What it belongs to."""
        return conversation_of(self._work.envelope)

    @property
    def effects(self) -> Effects:
        """The agent's effects."""
        return self._actor.peer.effects(self._actor.definition.name, tenant=self.tenant)

    # -- its run

    def begin(self) -> Outcome | None:
        """Let the handler take its first step. None: it is not at its end; `finish` it."""
        work = self._work
        work.begun = True
        if self.begun is not None or work.handler.way != "await" or self._actor.peer.interceptor is not None:
            return None
        try:
            coroutine = self._actor.function(work.handler)(**self._arguments())
            try:
                awaited = coroutine.send(None)
            except StopIteration as end:
                self._value = work.handler.output.encode(end.value)
                work.settled = True
                return DONE
        except BaseException as error:  # noqa: BLE001 - a handler may raise SystemExit; its process must not die of it
            work.settled = True
            return self._ended(error)
        self.begun = Begun(coroutine, awaited)
        return None

    async def finish(self, task: asyncio.Task[Any]) -> Outcome:
        """Let the handler come to its end, in this task; its deadline cancels it."""
        work, before = self._work, task.cancelling()
        try:
            async with work.deadline.enforce(work.handler.name):
                self._value = await self._call()
            return DONE
        except asyncio.CancelledError as error:
            if task.cancelling() == before:
                return self._ended(error)
            if not work.cancelled:
                return Outcome(Draining("the agent was stopped while it worked on this"), stop=True)
            return Outcome(work.stopped_by or Cancelled("the caller cancelled it"))
        except BaseException as error:  # noqa: BLE001 - as above
            return self._ended(error)
        finally:
            work.settled = True
            while work.cancelled and task.cancelling() > before:
                task.uncancel()

    def answer(self, outcome: Outcome) -> Awaitable[None] | None:
        """Put it on record, and send it to whoever waits; None: that was all, else await the rest."""
        seconds = self._actor.peer.clock.monotonic() - self.started
        if self._context is None and outcome is DONE:
            usage = Usage(duration=seconds, exit_status="success")
        else:
            usage = self._used(outcome, seconds)
        self.tell(outcome, seconds)
        respond = self._work.respond
        try:
            if outcome.error is None:
                rest = respond.result(self._value, usage, self._context.degraded if self._context is not None else "")
            else:
                rest = respond.failure(outcome.error, usage)
        except MeshError as error:
            self._unanswered(error)
            return None
        return None if rest is None else self._rest(rest)

    async def _rest(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        except MeshError as error:
            self._unanswered(error)

    def _unanswered(self, error: MeshError) -> None:
        self._actor.peer.count("unanswered", error=error.code, agent=self._actor.definition.name)

    def _ended(self, error: BaseException) -> Outcome:
        """What an exception of the handler's means."""
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise error
        if isinstance(error, MeshError):
            error.detail.pop("begun", None)
            return Outcome(error)
        if exhausted(error):
            what = redacted(f"{type(error).__name__} {error}".rstrip())
            return Outcome(AgentLost(f"{self._actor.key} has nothing left to work with: {what}"), error)
        return Outcome(self._failure(error), error)

    def _arguments(self) -> dict[str, Any]:
        doing.set(self)
        parameters = self._work.handler.parameters
        arguments = parameters.arguments(self._work.envelope.payload)
        if parameters.context is not None:
            arguments[parameters.context] = self.context
        return arguments

    async def _call(self) -> msgspec.Raw:
        handler = self._work.handler
        if self.begun is not None:
            return handler.output.encode(await self.begun)
        arguments, function = self._arguments(), self._actor.function(handler)
        if self._actor.peer.interceptor is not None:
            function = self._actor.peer.interceptor(self._actor, handler, function)
        if handler.way == "await":
            return handler.output.encode(await function(**arguments))
        if handler.way == "thread":
            return handler.output.encode(await self._in_thread(function, arguments))
        return await self._stream(function, arguments)

    async def _stream(self, function: Callable[..., Any], arguments: dict[str, Any]) -> msgspec.Raw:
        items = function(**arguments)
        try:
            async for item in items:
                await self._work.respond.item(self._work.handler.output.encode(item))
        finally:
            await items.aclose()
        return NULL

    async def _in_thread(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """A thread cannot be stopped: on a timeout the answer leaves at once, and the actor waits for the thread."""
        self.thread = self._actor.loop.run_in_executor(None, partial(copy_context().run, function, **arguments))
        return await asyncio.shield(self.thread)

    def _used(self, outcome: Outcome, seconds: float) -> Usage:
        if self._context is None:
            return Usage(duration=seconds, exit_status=outcome.exit_status)
        whole = self._context.usage + self._context.spent_below
        return msgspec.structs.replace(whole, duration=seconds, exit_status=outcome.exit_status)

    def tell(self, outcome: Outcome, seconds: float) -> None:
        """Put it on the agent's record, and tell telemetry."""
        self._actor.told(self._work, outcome, seconds)
        if self._work.ration is not None:
            used = self._context.usage if self._context is not None else Usage()
            self._work.ration.settle(used.tokens_in + used.tokens_out)
        if self._actor.peer.telemetry.heard:
            self._tell_telemetry(outcome, seconds)

    def _tell_telemetry(self, outcome: Outcome, seconds: float) -> None:
        work, used = self._work, self._context.usage if self._context is not None else Usage()
        self._actor.peer.telemetry.emit(
            "agent.call",
            job=work.envelope.job,
            step=work.envelope.step,
            agent=self._actor.definition.name,
            instance=self._actor.instance,
            command=work.handler.name,
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            money=used.money,
            latency=seconds,
            exit_status=outcome.exit_status,
            error=outcome.error.code if outcome.error else "",
            message=outcome.error.message if outcome.error else "",
            correlation=work.envelope.correlation,
            causation=work.envelope.id,
        )

    def _failure(self, error: BaseException) -> HandlerFailed:
        kind, text = type(error).__name__, redacted(str(error))[:MESSAGE_LIMIT]
        place = place_of(error, self._work.handler.function)
        who = f"{self._actor.definition.name}.{self._work.handler.name}"
        return HandlerFailed(
            f"{who} raised {kind}: {text}" if text else f"{who} raised {kind}",
            detail={"exception": kind, "where": place},
        )


def place_of(error: BaseException, function: Callable[..., Any]) -> str:
    """File and line where it was raised: the innermost place in the handler's own file, else the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(inspect.unwrap(function), "__code__", None)
    ours = [each for each in frames if own is not None and each.filename == own.co_filename]
    last = (ours or frames)[-1:]
    return f"{os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""
