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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mesh.actors.context import Context
from mesh.actors.work import Work
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import Cancelled, Draining, HandlerFailed, MeshError
from mesh.telemetry.redaction import redacted

if TYPE_CHECKING:
    from mesh.actors.actor import Actor

ExitStatus = Literal["success", "semantic_failure", "exception"]
MESSAGE_LIMIT = 500


@dataclass(slots=True)
class Outcome:
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


class Invocation:
    """One run of one handler."""

    def __init__(self, actor: Actor, work: Work) -> None:
        self._actor = actor
        self._work = work
        self._clock = actor.peer.clock
        self.context = Context(actor, work)
        self.begun: Awaitable[Any] | None = None
        self.thread: asyncio.Future[Any] | None = None

    async def run(self) -> Outcome:
        """Handle the message and answer it."""
        started = self._clock.monotonic()
        value, outcome = await self._perform()
        self._work.settled = True
        seconds = self._clock.monotonic() - started
        usage = self._used(outcome, seconds)
        self.tell(outcome, seconds)
        try:
            if outcome.error is None:
                await self._work.respond.result(value, usage)
            else:
                await self._work.respond.failure(outcome.error, usage)
        except MeshError as error:
            self._actor.peer.count("unanswered", error=error.code, agent=self._actor.definition.name)
        return outcome

    async def _perform(self) -> tuple[msgspec.Raw, Outcome]:
        work = self._work
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            async with work.deadline.enforce(work.handler.name):
                return await self._call(), Outcome()
        except MeshError as error:
            error.detail.pop("begun", None)
            return NULL, Outcome(error)
        except asyncio.CancelledError as error:
            if task is None or task.cancelling() == before:
                return NULL, Outcome(self._failure(error), error)
            if not work.cancelled:
                return NULL, Outcome(Draining("the agent was stopped while it worked on this"), stop=True)
            return NULL, Outcome(Cancelled("the caller cancelled it"))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a handler may raise SystemExit; its process must not die of it
            return NULL, Outcome(self._failure(error), error)
        finally:
            while work.cancelled and task is not None and task.cancelling() > before:
                task.uncancel()

    async def _call(self) -> msgspec.Raw:
        handler, parameters = self._work.handler, self._work.handler.parameters
        if self.begun is not None:
            return handler.output.encode(await self.begun)
        arguments = parameters.arguments(self._work.envelope.payload)
        if parameters.context is not None:
            arguments[parameters.context] = self.context
        function = self._actor.function(handler)
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
        self.thread = self._actor.loop.run_in_executor(None, lambda: function(**arguments))
        return await asyncio.shield(self.thread)

    def _used(self, outcome: Outcome, seconds: float) -> Usage:
        whole = self.context.usage + self.context.spent_below
        return msgspec.structs.replace(whole, duration=seconds, exit_status=outcome.exit_status)

    def tell(self, outcome: Outcome, seconds: float) -> None:
        """Put it on the agent's record, and tell telemetry."""
        work, used = self._work, self.context.usage
        self._actor.told(work, outcome, seconds)
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
