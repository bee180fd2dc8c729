"""`Speaking`: what a peer can say: ask, stream, tell, call, emit; and what agents keep: states, histories, effects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, Unpack, overload

from mesh.actors.asking.asking import Asking
from mesh.actors.asking.hedging import Hedging
from mesh.actors.asking.question import AskOptions, OnDegraded, OnUsage, StreamOptions, Wish
from mesh.actors.asking.routing import Target
from mesh.actors.asking.subcontract import Subcontract, Subcontracted, SubcontractOptions
from mesh.actors.declaring.contract import encode_payload
from mesh.actors.events.events import Events
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.keeping.effects import Effects
from mesh.actors.keeping.history import Histories
from mesh.actors.keeping.history_turns import Bounds
from mesh.actors.keeping.keeping import Keeping
from mesh.actors.keeping.state import State
from mesh.actors.keeping.state_declared import Durable
from mesh.actors.keeping.state_kind import StateKind
from mesh.protocols.artifacts import Verdict
from mesh.protocols.errors import MeshError, Refused, Unavailable, UnknownAgent
from mesh.protocols.ports import Clock
from mesh.registry.directory import Directory
from mesh.resilience.budget import RetryBudgets
from mesh.resilience.deadline import Deadline
from mesh.resilience.fallback import Fallback
from mesh.resilience.quality import Quality
from mesh.resilience.retry import mark

T = TypeVar("T")
CALL_TIMEOUT = 30.0
"""Seconds for a call whose capability nobody has declared a timeout for."""


class Speaking:
    """The speaking half of a peer; every message is sent on behalf of a lineage, by default the process's own (`root`)."""

    clock: Clock
    root: Lineage
    directory: Directory
    events: Events
    subcontract: Callable[[Subcontract], Awaitable[Subcontracted]] | None
    _asking: Asking
    keeping: Keeping
    quality: Quality

    @property
    def budgets(self) -> RetryBudgets:
        """How often each target may be called once more."""
        return self._asking.budgets

    @property
    def hedging(self) -> Hedging:
        """How fast each target answers that is asked twice when it takes long."""
        return self._asking.hedging

    def ask(
        self,
        target: Target,
        payload: Any = None,
        *,
        returns: Any = Any,
        fallbacks: Sequence[Fallback] | None = None,
        lineage: Lineage | None = None,
        on_usage: OnUsage | None = None,
        on_degraded: OnDegraded | None = None,
        **options: Unpack[AskOptions],
    ) -> Coroutine[Any, Any, Any]:
        """Ask an agent, `agent.instance`, capability or Listing to do something, and wait for what it returns.

        `command` is needed where the agent has several. `timeout` (seconds, default: the command's own) is the deadline
        of everything, retries included; `inactivity` ends it earlier when nothing is heard for so long. Attempts are
        repeated where that is safe: see `resilience/retry.py`. `returns` is the type the answer must fit.

        `hedge` has a `pure` command asked for once more, elsewhere, when it takes long (`resilience/hedging.py`). After a
        semantic failure it is asked for as `vary` says (`resilience/variation.py`). With `fallbacks`, even none, the result
        is an `Answer` that says what it is (`resilience/fallback.py`).

        Raises:
            UnknownAgent · UnknownCommand · NoResponders · Overloaded · BreakerOpen · DeadlineExceeded · TimedOut
            (inactivity) · BadPayload · BadResult · HandlerFailed, or whatever typed error the handler raised.
        """
        return self._asking.ask(Wish(
            target, payload, lineage or self.root, returns=returns, fallbacks=fallbacks, on_usage=on_usage,
            on_degraded=on_degraded, **options,
        ))  # fmt: skip

    def stream(
        self,
        target: Target,
        payload: Any = None,
        *,
        returns: Any = Any,
        lineage: Lineage | None = None,
        on_usage: OnUsage | None = None,
        on_degraded: OnDegraded | None = None,
        **options: Unpack[StreamOptions],
    ) -> AsyncIterator[Any]:
        """The items of a streaming command as they come, each fitting `returns`. Never repeated; closing it early cancels.

        Raises:
            As `ask`; TimedOut also when an item was lost on the way.
        """
        return self._asking.stream(Wish(
            target, payload, lineage or self.root, returns=returns, on_usage=on_usage, on_degraded=on_degraded, **options
        ))  # fmt: skip

    async def tell(
        self,
        target: Target,
        payload: Any = None,
        *,
        command: str = "",
        timeout: float | None = None,
        lineage: Lineage | None = None,
        key: str = "",
    ) -> None:
        """Send a command and do not wait: at most once, and nobody notices when it is lost. Again: done twice.

        Raises:
            UnknownAgent · UnknownCommand · BadPayload: before anything is sent.
        """
        lineage = lineage or self.root
        await self._asking.tell(target, payload, command=command, timeout=timeout, lineage=lineage, key=key)

    async def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        timeout: float | None = None,
        lineage: Lineage | None = None,
        on_usage: OnUsage | None = None,
        on_degraded: OnDegraded | None = None,
        **options: Unpack[SubcontractOptions],
    ) -> Any:
        """Hold an auction for the capability, and wait for what the winner returns.

        `timeout` (seconds, default: what the capability declares) is the deadline of everything. `mode` says how candidates are
        found; `effect` stands in place of what the capability declares; `key`, `hedge` and `constraints` are as in `ask`.

        Raises:
            Unavailable: this process has no contract net. NoBids, or the winner's typed error.
        """
        if self.subcontract is None:
            raise Unavailable("this process takes no part in the contract net, so it cannot call")
        lineage = lineage or self.root
        deadline = self._call_deadline(capability, timeout, lineage)
        wanted = Subcontract.below(lineage, capability, encode_payload(payload), deadline, **options)
        try:
            contracted = await self.subcontract(wanted)
        except MeshError as error:
            mark(error)
            raise
        if on_usage is not None:
            on_usage(contracted.usage)
        if on_degraded is not None and contracted.degraded:
            on_degraded(contracted.degraded)
        return self._asking.judged(contracted.output, contracted.content, returns)

    async def emit(
        self, event_type: str, payload: Any = None, *, stored: bool = True, lineage: Lineage | None = None
    ) -> int:
        """Publish an event; it is stored, under the sequence returned. Again: a second event.

        With `stored=False` it leaves without waiting for anything, is heard by whoever listens now, at most once, and the
        sequence is 0: there is none. While such events follow one another they leave in batches, at most 1 ms later.
        """
        return await self.events.emit(event_type, payload, lineage or self.root, stored=stored)

    @overload
    def state(self, agent: str, kind: Durable[T]) -> State[T]: ...
    @overload
    def state(self, agent: str, kind: type[T]) -> State[T | None]: ...
    def state(self, agent: str, kind: Any) -> State[Any]:
        """The durable values of an agent: of a type, kept as `state`, or as `durable` declared them."""
        declared = kind if isinstance(kind, Durable) else Durable(StateKind(kind))
        return declared.kept(self.keeping, agent)

    def report(self, verdict: Verdict, *, agent: str, capability: str, version: str = "", output: str = "") -> None:
        """Say what a gate made of an agent's output: it counts for or against that version, here, at once. See `Quality`.

        `version` may be left out where only one is there; `output` names what was judged. Again: another output, unless named.

        Raises:
            UnknownAgent: nobody of that name is there to tell the version from. Refused: several versions are; say which.
        """
        if not version:
            version = self._only_version(agent)
        self.quality.record(agent, version, capability, verdict, output=output)

    def _only_version(self, agent: str) -> str:
        versions = sorted({each.record.version for each in self.directory.instances(agent)})
        if not versions:
            raise UnknownAgent(f"no agent {agent!r} is there to tell its version from: say version=")
        if len(versions) > 1:
            raise Refused(
                f"{agent} is there in versions {', '.join(versions)}: say version=, the one that made the output"
            )
        return versions[0]

    def histories(self, agent: str) -> Histories:
        """The conversations of an agent, within the default bounds."""
        return self.keeping.histories(agent, Bounds())

    def effects(self, agent: str, *, tenant: str = "default") -> Effects:
        """The effects of an agent on a tenant's account: to look at them, and to resolve those that are in doubt."""
        return self.keeping.effects.of(agent, tenant)

    def _call_deadline(self, capability: str, timeout: float | None, lineage: Lineage) -> Deadline:
        if timeout is None:
            declared = self.directory.declared(capability)
            timeout = declared.timeout if declared else CALL_TIMEOUT
        deadline = Deadline.after(self.clock, timeout)
        return deadline if lineage.deadline is None or deadline.at < lineage.deadline.at else lineage.deadline
