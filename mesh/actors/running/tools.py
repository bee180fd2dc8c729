"""Tools: what an agent calls outside the mesh (an API, a model, a database), each behind a breaker of its own.

    async with ctx.tool("stripe.charge", timeout=5.0, ignore=CardDeclined):
        receipt = await stripe.charge(order)

There is one breaker for each (agent, tool) in a process. While it is open the block is not entered: `BreakerOpen` at once.
Kill switches and rate limits on tools are heeded, and each call counts as one of `tool_calls` in what the work has used.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from mesh.policy.meter import Reservation
from mesh.protocols.errors import BreakerOpen, TimedOut
from mesh.protocols.naming.names import check_capability
from mesh.resilience.breaker import BreakerPolicy, Outcome, Permit
from mesh.resilience.breakers import Breakers
from mesh.resilience.outcome import outcome

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.context import Context

T = TypeVar("T")
P = ParamSpec("P")
Ignore = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""Which errors are the caller's own mistakes: types of exceptions, or what says so of one."""

TIMEOUT = 30.0
"""Seconds for one call of a tool, unless it is told better; a call that takes more than four fifths of them is slow."""


class Tools:
    """The tools of one process: their breakers, and what stands between a handler and a call."""

    def __init__(self, peer: Peer, policy: BreakerPolicy | None = None) -> None:
        self.peer = peer
        self.breakers = Breakers(peer.clock, peer.ids.random, policy, kind="tool")


class ToolCall:
    """One call of one tool, as `ctx.tool` makes it: an asynchronous context manager, to be entered once."""

    __slots__ = (
        "_breaker",
        "_context",
        "_ignore",
        "_limit",
        "_permit",
        "_reserved",
        "_started",
        "_timeout",
        "_tokens",
        "_tools",
        "name",
    )

    def __init__(self, tools: Tools, context: Context, name: str, timeout: float, ignore: Ignore) -> None:
        self.name = check_capability(name)
        self._tools = tools
        self._context = context
        self._timeout = timeout
        self._ignore = ignore
        self._breaker = tools.breakers.of(context.agent, name, timeout=timeout)
        self._reserved: Reservation | None = None
        self._permit: Permit
        self._limit: asyncio.Timeout
        self._started = 0.0
        self._tokens = 0

    async def __aenter__(self) -> ToolCall:
        peer, context = self._tools.peer, self._context
        if peer.policy.switches:
            peer.policy.check(tool=self.name, tenant=context.tenant)
        self._started = peer.clock.monotonic()
        self._permit = self._admitted(self._started)
        if peer.policy.limits:
            await self._reserve()
        context.use(tool_calls=1)
        self._limit = asyncio.timeout(self._timeout)
        await self._limit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            late = TimedOut(f"tool {self.name} took longer than {self._timeout:g} s", origin=self._context.agent)
            self._ended(late)
            raise late from error
        self._ended(error)

    def use(self, *, tokens_in: int = 0, tokens_out: int = 0, money: float = 0.0) -> None:
        """Report what the call has cost, besides being one call."""
        self._tokens += tokens_in + tokens_out
        self._context.use(tokens_in=tokens_in, tokens_out=tokens_out, money=money)

    def _admitted(self, now: float) -> Permit:
        try:
            return self._breaker.admit(now, now + self._timeout)
        except BreakerOpen as error:
            raise BreakerOpen(
                f"tool {self.name} {error.message}", retry_after=error.retry_after, origin=self._context.agent,
                detail={**error.detail, "kind": "tool", "tool": self.name},
            ) from None  # fmt: skip

    async def _reserve(self) -> None:
        """One call, out of what may be called: by rate limits of the tool, and of this tenant for it."""
        peer, context = self._tools.peer, self._context
        try:
            self._reserved = await peer.limiter.take(tool=self.name, agent=context.agent, tenant=context.tenant)
        except BaseException:
            now = peer.clock.monotonic()
            self._breaker.record(self._permit, "ignored", 0.0, now)
            raise
        self._started = peer.clock.monotonic()

    def _ended(self, error: BaseException | None) -> None:
        """Told, and counted. A call that was cancelled because its caller's deadline passed had its time."""
        peer, breaker, context = self._tools.peer, self._breaker, self._context
        if self._reserved is not None:
            self._reserved.settle(self._tokens)
        now = peer.clock.monotonic()
        seconds = now - self._started
        ended = self._outcome(error)
        if isinstance(error, asyncio.CancelledError) and context.deadline.expired and seconds >= breaker.policy.slow:
            ended = "failure"
        breaker.record(self._permit, ended, seconds, now)
        if peer.telemetry.heard:
            peer.telemetry.emit(
                "tool.called", level="info" if ended == "success" else "warning", tool=self.name, agent=context.agent,
                instance=context.instance, tenant=context.tenant, job=context.job, step=context.step, seconds=seconds,
                outcome=ended, error="" if error is None else f"{type(error).__name__}: {error}",
                correlation=context.correlation,
            )  # fmt: skip

    def _outcome(self, error: BaseException | None) -> Outcome:
        ignore = self._ignore
        if error is not None:
            mine = isinstance(error, ignore) if isinstance(ignore, type | tuple) else ignore(error)
            if mine:
                return "ignored"
        return outcome(error)


def tool(
    name: str, *, timeout: float = TIMEOUT, ignore: Ignore = ()
) -> Callable[
    [Callable[Concatenate[Context, P], Awaitable[T]]], Callable[Concatenate[Context, P], Awaitable[T]]
]:  # fmt: skip
    """Make an async function, whose first argument is the `Context`, a tool: each call of it goes through the breaker.

    Raises (when called):
        BreakerOpen · Killed · Overloaded: it was not called. TimedOut: it took longer than `timeout`. Else what it raises.
    """
    check_capability(name)

    def decorate(
        function: Callable[Concatenate[Context, P], Awaitable[T]],
    ) -> Callable[Concatenate[Context, P], Awaitable[T]]:
        @functools.wraps(function)
        async def guarded(ctx: Context, /, *given: P.args, **named: P.kwargs) -> T:
            async with ctx.tool(name, timeout=timeout, ignore=ignore):
                return await function(ctx, *given, **named)

        return guarded

    return decorate
