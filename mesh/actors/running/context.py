"""`Context`: what a handler may do besides returning a value. One for each message.

Whatever it sends carries correlation, tenant, job, chain, and what is left of deadline and budget, by itself.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import msgspec

from mesh.actors.asking.question import AskOptions, StreamOptions
from mesh.actors.asking.subcontract import SubcontractOptions
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.running.doing import conversation_of
from mesh.actors.running.tools import TIMEOUT as TOOL_TIMEOUT
from mesh.actors.running.tools import Ignore, ToolCall
from mesh.policy.flags import V
from mesh.protocols.artifacts import Verdict
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.envelope import Envelope
from mesh.protocols.ports import Objects
from mesh.resilience.deadline import Deadline
from mesh.resilience.fallback import Answer, Fallback

if TYPE_CHECKING:
    from mesh.actors.keeping.effects import Effects
    from mesh.actors.keeping.history import History
    from mesh.actors.keeping.state import State
    from mesh.actors.keeping.state_declared import DeclaredHistories, Durable
    from mesh.actors.running.actor import Actor
    from mesh.actors.running.work import Work

T = TypeVar("T")
NOTHING = Usage()
DEGRADED = 500
"""So many characters of why an answer is degraded travel with it."""


class Context:
    """The surroundings of one message in its handler. Not to be kept after the handler has returned."""

    def __init__(self, actor: Actor, work: Work) -> None:
        self._actor = actor
        self._peer = actor.peer
        self._work = work
        self._thread = threading.get_ident()
        self.usage = NOTHING
        self.spent_below = NOTHING
        self.degraded = ""
        self._lineage: Lineage | None = None

    @property
    def lineage(self) -> Lineage:
        """What whatever it sends has from the message, made when first needed."""
        if self._lineage is None:
            actor = self._actor
            self._lineage = Lineage.below(self.message, actor.sender, self.deadline, actor.definition.stamps)
        return self._lineage

    # -- where we are

    @property
    def message(self) -> Envelope:
        """The envelope being handled."""
        return self._work.envelope

    @property
    def agent(self) -> str:
        """This agent's name."""
        return self._actor.definition.name

    @property
    def instance(self) -> str:
        """This instance's name."""
        return self._actor.instance

    @property
    def process(self) -> str:
        """The process it runs in."""
        return self._peer.process

    @property
    def labels(self) -> Mapping[str, str]:
        """This instance's labels."""
        return self._actor.labels

    @property
    def deadline(self) -> Deadline:
        """When the caller stops waiting."""
        return self._work.deadline

    @property
    def correlation(self) -> str:
        """Shared by everything one request causes."""
        return self.message.correlation

    @property
    def tenant(self) -> str:
        """On whose account this is."""
        return self.message.tenant

    @property
    def job(self) -> str:
        """The job this belongs to, or nothing."""
        return self.message.job

    @property
    def step(self) -> str:
        """The step of the job, or nothing."""
        return self.message.step

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt at the same work; the message's id where none was given."""
        return self.message.key or self.message.id

    @property
    def conversation(self) -> str:
        """What it belongs to, as its first sender named it (`ext.conversation` of the envelope), else the correlation."""
        return conversation_of(self.message)

    @property
    def constraints(self) -> Constraints:
        """What the caller demands, its budget less what has been used here so far."""
        whole = self.message.constraints or Constraints()
        return msgspec.structs.replace(whole, budget=whole.budget.less(self.usage + self.spent_below))

    # -- tell what happens

    def use(self, *, tokens_in: int = 0, tokens_out: int = 0, money: float = 0.0, tool_calls: int = 0) -> None:
        """Report what was consumed; it adds up, and travels with the reply.

        Raises:
            ValueError: less than nothing, or no number.
        """
        self.usage += Usage.told(tokens_in=tokens_in, tokens_out=tokens_out, money=money, tool_calls=tool_calls)

    def tool(self, name: str, *, timeout: float = TOOL_TIMEOUT, ignore: Ignore = ()) -> ToolCall:
        """Around one call of something outside the mesh: `async with ctx.tool("stripe.charge"): …`.

        A breaker guards it, one for each (agent, tool) in this process. It may take `timeout` seconds. Its exceptions count
        against the tool, but for those to `ignore`: the caller's own mistakes, by their types, or by what says so of one.

        Raises (on entering):
            BreakerOpen: it kept failing. Killed: an operator has switched it off. Overloaded: it was called too often.
        Raises (on leaving):
            TimedOut: it took longer than `timeout`.
        """
        return ToolCall(self._peer.tools, self, name, timeout, ignore)

    def report(self, verdict: Verdict, *, agent: str, capability: str, version: str = "", output: str = "") -> None:
        """Say what a gate made of another agent's output; as `Peer.report`."""
        self._peer.report(verdict, agent=agent, capability=capability, version=version, output=output)

    def progress(self, value: Any = None) -> None:
        """Tell the caller that the work goes on. Renews its inactivity timeout, never the deadline."""
        self._in_loop(lambda: self._work.respond.progress(value))

    def degrade(self, why: str) -> None:
        """Say that the answer will be less than what was asked for. Whoever gets it is told, and it is told on from there.

        By itself this happens when an answer that it was made from was degraded. Again: both reasons stand.
        """
        if why not in self.degraded:
            self.degraded = f"{self.degraded}; {why}"[:DEGRADED] if self.degraded else why[:DEGRADED]

    def flag(self, name: str, default: V, *, key: str = "") -> V:
        """What operators have set for this tenant and agent, or `default`. Where it is set for a percentage only, `key`
        decides who has it, everywhere the same: by default the job, and outside of one the correlation."""
        key = key or self.job or self.correlation
        return self._peer.policy.flag(name, default, tenant=self.tenant, agent=self.agent, key=key)

    def log(self, message: str, /, *, level: str = "info", **fields: Any) -> None:
        """One line in the log, with agent, job, step and correlation on it."""
        about = {"agent": self.agent, "instance": self.instance, "job": self.job, "step": self.step}
        about |= {"command": self.message.name, "correlation": self.correlation, "causation": self.message.id}
        self._peer.telemetry.emit("agent.log", message=message, level=level, **(about | fields))

    # -- speak to others

    @overload
    async def ask(
        self, target: str, payload: Any = None, *, returns: type[T], fallbacks: Sequence[Fallback],
        **options: Unpack[AskOptions],
    ) -> Answer[T]: ...  # fmt: skip
    @overload
    async def ask(
        self, target: str, payload: Any = None, *, fallbacks: Sequence[Fallback], returns: Any = Any,
        **options: Unpack[AskOptions],
    ) -> Answer[Any]: ...  # fmt: skip
    @overload
    async def ask(self, target: str, payload: Any = None, *, returns: type[T], **options: Unpack[AskOptions]) -> T: ...
    @overload
    async def ask(
        self, target: str, payload: Any = None, *, returns: Any = Any, **options: Unpack[AskOptions]
    ) -> Any: ...
    async def ask(self, target: str, payload: Any = None, **options: Any) -> Any:
        """Ask an agent, `agent.instance` or capability, and wait; as `Peer.ask`."""
        return await self._peer.ask(target, payload, **self._with(options))

    def stream(
        self, target: str, payload: Any = None, *, returns: Any = Any, **options: Unpack[StreamOptions]
    ) -> AsyncIterator[Any]:
        """The items of a streaming command as they come; as `Peer.stream`."""
        return self._peer.stream(target, payload, **self._with({"returns": returns, **options}))

    async def tell(self, target: str, payload: Any = None, *, command: str = "", timeout: float | None = None) -> None:
        """Send a command and do not wait: at most once, and nobody notices when it is lost; as `Peer.tell`."""
        await self._peer.tell(target, payload, command=command, timeout=timeout, lineage=self._narrowed())

    async def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        timeout: float | None = None,
        **options: Unpack[SubcontractOptions],
    ) -> Any:
        """Subcontract: hold an auction for the capability, and wait for what the winner returns; as `Peer.call`.

        Raises:
            NoBids: nobody can or will. CallCycle · TooManyHops: the chain of calls goes wrong. The winner's own errors.
        """
        return await self._peer.call(capability, payload, returns=returns, timeout=timeout, **self._with({**options}))

    async def emit(self, event_type: str, payload: Any = None, *, stored: bool = True) -> None:
        """Publish an event; it is stored when this returns. Again: a second event. With `stored=False` it is heard now or
        never, and nothing is waited for; as `Peer.emit`."""
        await self._peer.emit(event_type, payload, stored=stored, lineage=self.lineage)

    # -- keep things

    async def objects(self) -> Objects:
        """The object store: `digest = await (await ctx.objects()).put(data)`, `get(digest)`."""
        return await self._peer.payloads.objects()

    @overload
    def state(self, kind: Durable[T]) -> State[T]: ...
    @overload
    def state(self, kind: type[T]) -> State[T | None]: ...
    def state(self, kind: Any) -> State[Any]:
        """The agent's durable values of a type, each under a key: shared by its instances, they survive every restart. With
        a `durable(…)` they have a default and migrations. Classes declare theirs, and have them as attributes."""
        return self._peer.state(self.agent, kind)

    def history(self, conversation: str = "", declared: DeclaredHistories | None = None) -> History:
        """What was said in a conversation, by default this one (`conversation`), within the bounds of `histories(…)`."""
        of_all = declared.kept(self._peer.keeping, self.agent) if declared else self._peer.histories(self.agent)
        return of_all(conversation or self.conversation, tenant=self.tenant)

    @property
    def effects(self) -> Effects:
        """What must happen once out there: `await ctx.effects.once(ctx.key, fn)`. One key, one effect."""
        return self._peer.effects(self.agent, tenant=self.tenant)

    # -- within

    def _narrowed(self) -> Lineage:
        if self.message.constraints is None:
            return self.lineage
        return msgspec.structs.replace(self.lineage, constraints=self.constraints)

    def _with(self, options: dict[str, Any]) -> dict[str, Any]:
        """What goes with whatever it asks: on whose behalf, and who hears what comes back besides the value."""
        own = {"lineage": self._narrowed(), "on_usage": self._below, "on_degraded": self.degrade}
        return {**options, **own}

    def _below(self, usage: Usage) -> None:
        self.spent_below += msgspec.structs.replace(usage, duration=0.0, exit_status="")

    def _in_loop(self, call: Callable[[], None]) -> None:
        """Handlers that are plain functions run in a thread; what they tell is told in the loop."""
        if threading.get_ident() == self._thread:
            call()
        else:
            self._actor.loop.call_soon_threadsafe(call)
