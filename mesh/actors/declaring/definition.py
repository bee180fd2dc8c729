"""`AgentDefinition`: everything an agent declares, read once; and the two ways to write one, `@agent` and `Agent`.

Mistakes are raised while the class or function is made, with the fix in the message.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, overload

from msgspec import structs

from mesh.actors.admitting.mailbox import LIMIT
from mesh.actors.declaring.handler import Handler, Reaction, Timer, first_line
from mesh.actors.declaring.marks import B, BidHook, Command, CommandOptions, EventMark, marks
from mesh.actors.keeping.state_declared import Binds, Declared, check_annotations
from mesh.actors.running.supervision import RestartPolicy
from mesh.protocols.constraints import Effect
from mesh.protocols.envelope import Stamps
from mesh.protocols.naming.names import check_name, check_token
from mesh.registry.records import Capability, Schema

if TYPE_CHECKING:
    from mesh.actors.running.context import Context

P = ParamSpec("P")
R = TypeVar("R")
_VERSION = re.compile(r"\d+(\.\d+){0,2}([-+][0-9A-Za-z.-]+)?\Z")
ADAPTIVE = 32
"""From this capacity on it is adaptive unless the agent says otherwise: a smaller one was meant as it stands, and calls are
few enough in a window that chance decides; so many at once nobody has tried out for every day of what is behind the agent."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, kw_only=True)
class AgentDefinition:
    """One kind of agent. `make` gives a fresh state; `capacity` is how many messages it handles at once, `mailbox` how
    many more may wait; `adaptive` says whether fewer are handled at once where more take longer. The stamps name the
    version by themselves."""

    name: str
    version: str
    make: Callable[[], Any]
    handlers: Mapping[str, Handler]
    reactions: tuple[Reaction, ...] = ()
    timers: tuple[Timer, ...] = ()
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: int = 1
    mailbox: int = LIMIT
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    stamps: Stamps = field(default_factory=Stamps)
    keeps: tuple[Binds, ...] = ()
    adaptive: bool | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "agent")
        if not _VERSION.match(self.version):
            raise TypeError(f"agent {self.name}: version {self.version!r} is not like '1', '1.2' or '1.2.3'")
        if self.capacity < 1 or self.mailbox < 1:
            raise TypeError(f"agent {self.name}: capacity and mailbox must be at least 1")
        if not (self.handlers or self.reactions or self.timers):
            raise TypeError(f"agent {self.name} does nothing: mark a method with @command, @on_event or @every")
        offered = [each.capability for each in self.handlers.values() if each.capability]
        if len(offered) != len(set(offered)):
            raise TypeError(f"agent {self.name} offers a capability with two commands: {', '.join(sorted(offered))}")
        object.__setattr__(self, "stamps", structs.replace(self.stamps, agent_version=self.version))

    def adapts(self, capacity: int) -> bool:
        """Whether an instance that may handle so many at once finds out how many it should."""
        return capacity > 1 and (capacity >= ADAPTIVE if self.adaptive is None else self.adaptive)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What the registry shows of the commands that offer a capability."""
        return tuple(each.declared() for each in self.handlers.values() if each.capability)

    @property
    def commands(self) -> tuple[Capability, ...]:
        """What the registry shows of the others."""
        return tuple(each.declared() for each in self.handlers.values() if not each.capability)

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """The schemas of all inputs and outputs, each once."""
        contracts = [
            each for handler in self.handlers.values() for each in (handler.parameters.contract, handler.output)
        ]
        return tuple({each.digest: Schema(digest=each.digest, schema=each.schema()) for each in contracts}.values())

    def offering(self, capability: str) -> Handler | None:
        """The handler that offers the capability, or None."""
        return next((each for each in self.handlers.values() if each.capability == capability), None)


class FunctionAgent(Generic[P, R]):
    """A function that is an agent with one command; it can still be called as before."""

    def __init__(
        self, function: Callable[P, R], options: CommandOptions, local: Mapping[str, Any], **about: Any
    ) -> None:
        self.function = function
        self._options = options
        self._local = local
        self._about = about
        self._bid: BidHook | None = None
        self._definition = self._define()
        functools.update_wrapper(self, function)

    @property
    def definition(self) -> AgentDefinition:
        """What was read from it."""
        return self._definition

    def bid(self, hook: B) -> B:
        """`@greet.bid`: `(call: CallForProposal, bid: Bid) -> Bid | None`; as `Command.bid`."""
        self._bid = hook
        self._definition = self._define()
        return hook

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """As the function it was."""
        return self.function(*args, **kwargs)

    def _define(self) -> AgentDefinition:
        handler = Handler.of(self.function, self._options, self._local, method=False, bid=self._bid)
        name = self._about.pop("name", "") or self.function.__name__.strip("_").replace("_", "-")
        self._about["name"] = name
        return AgentDefinition(
            make=lambda: None,
            handlers=MappingProxyType({handler.name: handler}),
            **{"description": first_line(self.function.__doc__), **self._about},
        )


@overload
def agent(function: Callable[P, R], /) -> FunctionAgent[P, R]: ...
@overload
def agent(
    *,
    name: str = "",
    version: str = "1.0.0",
    capability: str = "",
    effect: Effect = "costly",
    timeout: float | None = None,
    reasoning: bool = False,
    description: str = "",
    labels: Mapping[str, str] | None = None,
    capacity: int = 1,
    mailbox: int = LIMIT,
    adaptive: bool | None = None,
    price: float = 0.0,
    tier: int = 0,
    hedge: bool = False,
    stamps: Stamps = Stamps(),  # noqa: B008
) -> Callable[[Callable[P, R]], FunctionAgent[P, R]]: ...
def agent(function: Callable[P, R] | None = None, /, **options: Any) -> Any:
    """Make a function an agent with one command of the function's name.

    The agent is called like the function (`_` becomes `-`) unless `name` says otherwise. The other options are those of
    `@command` and of the class `Agent`.
    """
    local = sys._getframe(1).f_locals
    if function is not None:
        return FunctionAgent(function, CommandOptions(), local, version="1.0.0")
    about: dict[str, Any] = {
        key: options.pop(key)
        for key in ("version", "labels", "capacity", "mailbox", "adaptive", "stamps")
        if key in options
    }
    about.setdefault("version", "1.0.0")
    about["labels"] = dict(about.get("labels") or {})
    about["name"] = options.pop("name", "")
    if options.get("description"):
        about["description"] = options["description"]
    return lambda marked: FunctionAgent(marked, CommandOptions(**options), local, **about)


class Agent:
    """Base of agents written as a class: `@command`, `@on_event` and `@every` mark its methods.

    Its options stand in the class statement, `class Watcher(Agent, name="price-watcher", capacity=4)`, or in the body.
    One object of the class is the state of one instance; it is made anew after a crash. It needs no arguments, or is
    hosted as `functools.partial(TheClass, …)`.
    """

    name: ClassVar[str] = ""
    """Defaults to the class's name: `CodeReviewer` is `code-reviewer`."""
    version: ClassVar[str] = "1.0.0"
    description: ClassVar[str] = ""
    labels: ClassVar[Mapping[str, str]] = MappingProxyType({})
    capacity: ClassVar[int] = 1
    mailbox: ClassVar[int] = LIMIT
    adaptive: ClassVar[bool | None] = None
    restarts: ClassVar[RestartPolicy] = RestartPolicy()
    stamps: ClassVar[Stamps] = Stamps()
    definition: ClassVar[AgentDefinition]

    def __init_subclass__(cls, *, abstract: bool = False, **options: Any) -> None:
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(f"class {cls.__qualname__} has no option {_quoted(unknown)}; there are {_quoted(_OPTIONS)}")
        super().__init_subclass__()
        for option, value in options.items():
            setattr(cls, option, value)
        if not abstract:
            cls.definition = _define_class(cls, {**sys._getframe(1).f_locals, cls.__name__: cls})

    async def on_start(self, ctx: Context) -> None:
        """Before the first message, and again after each restart. An exception counts as a crash."""

    async def on_stop(self, ctx: Context) -> None:
        """After the last message; not after a crash."""


_OPTIONS = {"name", "version", "description", "labels", "capacity", "mailbox", "adaptive", "restarts", "stamps"}


def _quoted(options: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(options)))


def definition_of(thing: Any) -> AgentDefinition:
    """The definition of an agent function, an agent class, an instance of one, or `functools.partial` of a class.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(thing, AgentDefinition):
        return thing
    if isinstance(thing, functools.partial) and isinstance(
        found := getattr(thing.func, "definition", None), AgentDefinition
    ):
        return _remade(found, thing)
    found = getattr(thing, "definition", None)
    if not isinstance(found, AgentDefinition):
        raise TypeError(f"{thing!r} is no agent: decorate a function with @agent, or derive a class from Agent")
    return _remade(found, lambda: thing) if isinstance(thing, Agent) else found


def _remade(found: AgentDefinition, make: Callable[[], Any]) -> AgentDefinition:
    from dataclasses import replace

    return replace(found, make=make)


def _define_class(cls: type[Agent], local: Mapping[str, Any]) -> AgentDefinition:
    handlers: dict[str, Handler] = {}
    reactions: list[Reaction] = []
    timers: list[Timer] = []
    keeps: list[Binds] = []
    check_annotations(cls)
    for name, member in inspect.getmembers_static(cls):
        if isinstance(member, Command):
            handler = Handler.of(member.function, member.options, local, method=True, bid=member.bid_hook)
            if handler.name in handlers:
                raise TypeError(f"{cls.__qualname__} has two commands named {handler.name!r}: rename one with name=")
            handlers[handler.name] = handler
        if isinstance(member, Command | Declared) and name in _OPTIONS:
            raise TypeError(
                f"{cls.__qualname__}.{name}: {name!r} is an option of every agent; call this something else"
            )
        if isinstance(member, Declared):
            keeps.append(member)
        for mark in marks(member):
            handler = Handler.of(member, CommandOptions(timeout=mark.timeout), local, method=True)
            check_token(name.strip("_"), "handler")
            if isinstance(mark, EventMark):
                reactions.append(Reaction(handler, mark))
            else:
                timers.append(Timer(handler, mark))
    return AgentDefinition(
        name=cls.name or _CAPITAL.sub("-", cls.__name__).lower().strip("_"),
        version=cls.version,
        make=cls,
        handlers=MappingProxyType(handlers),
        reactions=tuple(reactions),
        timers=tuple(timers),
        description=cls.description or first_line(cls.__doc__),
        labels=dict(cls.labels),
        capacity=cls.capacity,
        mailbox=cls.mailbox,
        adaptive=cls.adaptive,
        restarts=cls.restarts,
        stamps=cls.stamps,
        keeps=tuple(keeps),
    )
