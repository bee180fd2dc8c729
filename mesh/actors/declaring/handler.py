"""What an agent reacts to, complete: `Handler` (a command), `Reaction` (to an event), `Timer`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.actors.declaring.marks import BidHook, CommandOptions, EventMark, TimerMark
from mesh.actors.declaring.marks import command as command
from mesh.actors.declaring.marks import every as every
from mesh.actors.declaring.marks import on_event as on_event
from mesh.actors.declaring.parameters import Parameters, resolve_hints, where
from mesh.protocols.acts import ABSURD
from mesh.protocols.constraints import Effect
from mesh.protocols.naming.names import check_capability, check_token
from mesh.registry.records import Capability

Way = Literal["await", "stream", "thread"]
"""How it is run: awaited, iterated (each item is sent), or in a thread because it is a plain `def`."""

_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator)


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A function with its contracts. `bid` is the `@handler.bid` hook, unbound like `function`."""

    name: str
    options: CommandOptions
    function: Callable[..., Any]
    parameters: Parameters
    output: Contract
    way: Way
    method: bool
    bid: BidHook | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        options: CommandOptions,
        local: Mapping[str, Any],
        *,
        method: bool,
        bid: BidHook | None = None,
    ) -> Handler:
        """Read a marked function; with `method`, its first parameter is `self`.

        Raises:
            TypeError · InvalidName: what is wrong with it, and what to write instead.
        """
        hints = resolve_hints(function, local)
        if options.capability:
            check_capability(options.capability)
        if not options.seconds > 0:
            raise TypeError(f"{where(function)}: timeout must be more than 0 seconds; every wait ends.")
        if not 0.0 <= options.price < ABSURD:
            raise TypeError(f"{where(function)}: price={options.price!r}: money per call is a number of at least 0.")
        way = way_of(function)
        if options.hedge and (options.effect != "pure" or way == "stream"):
            raise TypeError(f"{where(function)}: hedge=True may have it done twice: only effect='pure', and no stream.")
        return cls(
            name=check_token(options.name or function.__name__.strip("_"), "command"),
            options=options,
            function=function,
            parameters=Parameters.of(function, hints, method=method),
            output=_output(function, hints, way),
            way=way,
            method=method,
            bid=bid,
        )

    @property
    def capability(self) -> str:
        """The capability it offers, or nothing."""
        return self.options.capability

    @property
    def effect(self) -> Effect:
        """How it may be repeated."""
        return self.options.effect

    @property
    def timeout(self) -> float:
        """The default seconds for one call."""
        return self.options.seconds

    @property
    def streams(self) -> bool:
        """Whether its reply is a sequence of items."""
        return self.way == "stream"

    @property
    def description(self) -> str:
        """What it is for: as said, or the first line of its docstring."""
        return self.options.description or first_line(self.function.__doc__)

    def bound(self, target: object) -> Callable[..., Any]:
        """The function, ready to be called with the payload's arguments."""
        return self.function.__get__(target, type(target)) if self.method else self.function

    def bound_bid(self, target: object) -> BidHook | None:
        """The bid hook, ready to be called with a CallForProposal and the computed Bid."""
        if self.bid is None or not self.method:
            return self.bid
        bound: BidHook = self.bid.__get__(target, type(target))
        return bound

    def declared(self) -> Capability:
        """What the registry shows of it; the name is empty where it offers no capability."""
        return Capability(
            name=self.capability,
            command=self.name,
            effect=self.effect,
            input=self.parameters.contract.digest,
            output=self.output.digest,
            timeout=self.timeout,
            streams=self.streams,
            description=self.description,
            hedge=self.options.hedge,
        )


class Reaction(msgspec.Struct, frozen=True):
    """A handler and the events it hears."""

    handler: Handler
    mark: EventMark


class Timer(msgspec.Struct, frozen=True):
    """A handler and how often it runs."""

    handler: Handler
    mark: TimerMark


def way_of(function: Callable[..., Any]) -> Way:
    """How a function is to be run."""
    if inspect.isasyncgenfunction(function):
        return "stream"
    return "await" if inspect.iscoroutinefunction(function) else "thread"


def first_line(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "").strip().split("\n", 1)[0].strip()


def _output(function: Callable[..., Any], hints: Mapping[str, Any], way: Way) -> Contract:
    if "return" not in hints:
        raise TypeError(f"{where(function)}: what it returns has no type; write `-> str`, a model, or `-> None`.")
    kind = hints["return"]
    if way == "stream":
        if typing.get_origin(kind) not in _STREAMS or not typing.get_args(kind):
            raise TypeError(f"{where(function)}: it streams, so annotate it `-> AsyncIterator[ItemType]`.")
        kind = typing.get_args(kind)[0]
    try:
        return Contract.of(kind)
    except TypeError as error:
        raise TypeError(f"{where(function)}: its result: {error}") from None
