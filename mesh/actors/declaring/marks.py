"""The decorators that mark an agent's handlers: `@command`, `@handler.bid`, `@on_event`, `@every`.

They only mark; `definition` reads the marks when the class is made, so that a mistake shows there and not at first call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import msgspec

from mesh.protocols.acts import Bid
from mesh.protocols.constraints import Effect
from mesh.protocols.naming.names import check_event_type

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])
BidHook = Callable[..., Bid | None]
B = TypeVar("B", bound=BidHook)

TIMEOUT = 5.0
"""Seconds a command may take unless it says otherwise."""
REASONING_TIMEOUT = 30.0
"""The same for a command that asks a model."""
MARK = "__mesh_marks__"


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `@command` and `@agent` say of a handler. `price` is money per call, `timeout` in seconds."""

    name: str = ""
    capability: str = ""
    effect: Effect = "costly"
    timeout: float | None = None
    reasoning: bool = False
    description: str = ""
    price: float = 0.0
    tier: int = 0
    hedge: bool = False

    @property
    def seconds(self) -> float:
        """The timeout, defaults applied: there is always one."""
        if self.timeout is not None:
            return self.timeout
        return REASONING_TIMEOUT if self.reasoning else TIMEOUT


class Command(Generic[P, R]):
    """A method marked as a command; it can still be called as before."""

    def __init__(self, function: Callable[P, R], options: CommandOptions) -> None:
        self.function = function
        self.options = options
        self.bid_hook: BidHook | None = None
        functools.update_wrapper(self, function)

    def bid(self, hook: B) -> B:
        """`@handler.bid`: `(self, call: CallForProposal, bid: Bid) -> Bid | None`, asked before each bid.

        `bid` is the one computed from measured figures: return it, a changed one, or None to make no proposal. It runs
        on the event loop, for every call for proposals: compute, do not wait.
        """
        self.bid_hook = hook
        return hook

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """As the function it was."""
        return self.function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> Command[P, R]: ...
    @overload
    def __get__(self: Command[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Callable[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.function.__get__(instance, owner)


@overload
def command(function: Callable[P, R], /) -> Command[P, R]: ...
@overload
def command(
    *,
    name: str = "",
    capability: str = "",
    effect: Effect = "costly",
    timeout: float | None = None,
    reasoning: bool = False,
    description: str = "",
    price: float = 0.0,
    tier: int = 0,
    hedge: bool = False,
) -> Callable[[Callable[P, R]], Command[P, R]]: ...
def command(function: Callable[P, R] | None = None, /, **options: Any) -> Any:
    """Mark a method as a command that others may ask, tell or (with `capability`) bid for.

    Its parameters are the input contract and its return annotation the output contract. An async generator streams its
    items; a plain `def` runs in a thread. `effect` says how it may be repeated, `timeout` is in seconds (default 5, or 30
    with `reasoning`), `price` is money per call and `tier` the rank of its model, both for bids. With `hedge`, a `pure`
    command that takes longer than nearly all its calls do is asked for once more at another instance.
    """
    if isinstance(function, str):
        raise TypeError(f"@command({function!r}): options have names; write @command(capability={function!r})")
    if function is not None:
        return Command(function, CommandOptions())
    return lambda marked: Command(marked, CommandOptions(**options))


class EventMark(msgspec.Struct, frozen=True, kw_only=True):
    """What `@on_event` says."""

    event_type: str
    agent: str = "*"
    durable: bool = False
    shared: bool = False
    since: float | None = None
    timeout: float = TIMEOUT


class TimerMark(msgspec.Struct, frozen=True, kw_only=True):
    """What `@every` says."""

    seconds: float
    timeout: float = TIMEOUT


def on_event(
    event_type: str,
    *,
    agent: str = "*",
    durable: bool = False,
    shared: bool = False,
    since: float | None = None,
    timeout: float = TIMEOUT,
) -> Callable[[F], F]:
    """Mark a method that hears events: `(self, event: T, ctx: Context) -> None`.

    `event_type` may be `*`, `>` or end in them; `agent` names the emitter. Each instance hears each event at most once;
    with `shared`, one instance of the agent does. With `durable`, the instances share a consumer of the event stream:
    each event is handled by one of them, at least once, also those emitted while nobody was up; `since` (Unix seconds)
    is where the very first of them begins.
    """
    for part in event_type.split("."):
        if part not in ("*", ">"):
            check_event_type(part)
    mark = EventMark(event_type=event_type, agent=agent, durable=durable, shared=shared, since=since, timeout=timeout)
    return lambda function: _marked(function, mark)


def every(seconds: float, *, timeout: float = TIMEOUT) -> Callable[[F], F]:
    """Mark a method that runs every `seconds`, through the mailbox like any message; a tick still waiting is not doubled."""
    if not seconds > 0:
        raise TypeError(f"@every({seconds!r}): the interval must be more than 0 seconds")
    return lambda function: _marked(function, TimerMark(seconds=seconds, timeout=timeout))


def marks(function: Any) -> tuple[EventMark | TimerMark, ...]:
    """What `@on_event` and `@every` left on a function."""
    return getattr(function, MARK, ())


def _marked(function: F, mark: EventMark | TimerMark) -> F:
    setattr(function, MARK, (*marks(function), mark))
    return function
