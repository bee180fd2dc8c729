"""`Actor`: one running instance: a mailbox, the state the handlers work on, and the restarts.

It has no task and no subscription of its own: a drain task exists only while its mailbox holds something. At most
`capacity` messages are handled at once, one by default. What crashes it restarts it alone; its mailbox waits meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.definition import AgentDefinition
from mesh.actors.handler import Handler
from mesh.actors.hooks import STOP_TIMEOUT, Hooks
from mesh.actors.invocation import DONE, Invocation, Outcome
from mesh.actors.killing import killed_work
from mesh.actors.lineage import MAX_HOPS
from mesh.actors.mailbox import Mailbox
from mesh.actors.marks import BidHook
from mesh.actors.notice import Notice, heard_out
from mesh.actors.supervision import Supervision
from mesh.actors.tally import Tally
from mesh.actors.work import Work
from mesh.protocols.acts import Bid
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import (
    AgentLost,
    CallCycle,
    Cancelled,
    DeadlineExceeded,
    Draining,
    MeshError,
    Overloaded,
    TooManyHops,
)
from mesh.registry.records import Figures, InstanceState

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.policy.policy import Policy

TURN = 0.01
"""Seconds after which a drain lets others have the loop: a full mailbox must not keep the heartbeats waiting."""
_STATES: dict[str, InstanceState] = {"ready": "ready", "draining": "draining"}
_NONE_YET: dict[str, Any] = {}
_NO_DRAINS: list[asyncio.Task[None]] = []
"""What an actor has that was never asked: empty tables of its own would be a tenth of its memory. Never written to."""


class Actor:
    """One instance of an agent in this process. Cheap while idle: there may be a hundred thousand."""

    __slots__ = (
        "_drains", "_functions", "_running", "_starting", "_target", "capacity", "definition", "hooks", "instance", "key", "labels", "loop",
        "mailbox", "peer", "sender", "started_at", "supervision", "tally",
    )  # fmt: skip

    def __init__(
        self,
        peer: Peer,
        definition: AgentDefinition,
        instance: str,
        *,
        labels: Mapping[str, str] | None = None,
        capacity: int | None = None,
    ) -> None:
        self.peer = peer
        self.definition = definition
        self.instance = instance
        self.key = f"{definition.name}.{instance}"
        """`agent.instance`, as heartbeats and callers name it."""
        self.labels: Mapping[str, str] = {**definition.labels, **labels} if labels else definition.labels
        self.capacity = capacity or definition.capacity
        self.sender = Sender(definition.name, instance, peer.process)
        self.mailbox = Mailbox(definition.mailbox)
        self.tally = Tally()
        self.supervision = Supervision(definition.restarts, peer.ids.random)
        self.loop = asyncio.get_running_loop()
        self.started_at = peer.clock.now()
        self.hooks = Hooks(self)
        self._target: Any = None
        self._functions: dict[str, Callable[..., Any]] = _NONE_YET
        self._running: dict[str, tuple[Work, asyncio.Task[None]]] = _NONE_YET
        self._drains = _NO_DRAINS
        self._starting = False

    # -- what others see

    @property
    def state(self) -> InstanceState:
        """As the registry shows it."""
        return _STATES.get(self.supervision.state, "starting")

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self.mailbox)

    @property
    def running(self) -> int:
        """How many messages are being handled now."""
        return len(self._running)

    def figures(self) -> Figures:
        """Load, measured latency and success, and the standing bids they speak for (the contract net's, if there is one)."""
        figures = self.tally.figures(
            self.definition.handlers.values(), waiting=self.waiting, running=self.running, capacity=self.capacity
        )
        if self.peer.standing_bids is None:
            return figures
        return msgspec.structs.replace(figures, bids=self.peer.standing_bids(self))

    def bid(self, handler: Handler) -> Bid:
        """The present bid for one command, from figures alone."""
        return self.tally.bid(handler, waiting=self.waiting, running=self.running, capacity=self.capacity)

    def bid_hook(self, handler: Handler) -> BidHook | None:
        """The agent's own `@handler.bid`, bound to its present state."""
        return handler.bound_bid(self._target)

    def function(self, handler: Handler) -> Callable[..., Any]:
        """The handler, bound to the present state."""
        found = self._functions.get(handler.name)
        if found is None:
            if self._functions is _NONE_YET:
                self._functions = {}
            found = self._functions[handler.name] = handler.bound(self._target)
        return found

    # -- taking work

    def offer(self, work: Work) -> None:
        """Queue a message; it is handled when those before it are. Again: handled again, copies are not told apart here.

        Raises:
            Killed: an operator has killed it. Draining: it takes no more. AgentLost: it has been given up. Overloaded: the
            mailbox is full; `retry_after` is an estimate. DeadlineExceeded · CallCycle · TooManyHops: it is not worth queueing.
        """
        try:
            self._admit(work)
        except MeshError as error:
            error.detail["begun"] = False
            error.origin = error.origin or self.key
            raise
        self.pump()
        if not self._starting:  # a drain that is about to start will tell
            self.peer.changed(self)

    def hear(self, notices: list[Notice]) -> bool:
        """Queue live events, if nothing speaks against any of them. False: none is queued, offer them one by one."""
        for notice in notices:
            if notice.envelope.hops > MAX_HOPS or notice.envelope.chain:
                return False
        if self.peer.policy.switches or self.supervision.state != "ready" or not self.mailbox.take_in(notices):
            return False
        if len(self._drains) < self.capacity:
            self.pump()
        return True

    def _admit(self, work: Work) -> None:
        if self.peer.policy.switches and (switch := killed_work(self.peer.policy, self, work)) is not None:
            raise switch.error()
        if self.supervision.state in ("draining", "stopped"):
            raise Draining(f"{self.key} is going away")
        if self.supervision.state == "failed":
            raise AgentLost(f"{self.key} crashed too often and was given up")
        work.offered_at = self.peer.clock.monotonic()
        if work.offered_at >= work.deadline.at:
            self.peer.count("expired", agent=self.definition.name, where="offer")
            raise DeadlineExceeded(f"the deadline passed before {self.key} could queue the message")
        envelope = work.envelope
        if self.definition.name in envelope.chain:
            raise CallCycle(
                f"{self.definition.name} is already waiting in {' → '.join(envelope.chain[:MAX_HOPS])[:500]}"
            )
        if envelope.hops > MAX_HOPS:
            raise TooManyHops(
                f"the chain of calls is longer than {MAX_HOPS}: {' → '.join(envelope.chain[:MAX_HOPS])[:500]}"
            )
        try:
            self.mailbox.put(work, retry_after=0.0)
        except Overloaded as error:
            error.retry_after = self.patience()
            raise

    def patience(self) -> float:
        """Seconds after which a full mailbox probably has room: the mean time of a call, shared by `capacity`."""
        return max(0.01, self.tally.whole.latency / self.capacity)

    def pump(self) -> None:
        """Start a drain if there is work and room for it; one that is about to start sees to everything that waits."""
        if self._starting or not self.mailbox or self.supervision.state not in ("ready", "draining"):
            return
        if len(self._drains) < self.capacity:
            self._starting = True
            self._start_drain()

    def _widen(self) -> None:
        """A handler waits for something; what is behind it in the mailbox need not, as far as `capacity` goes."""
        for _ in range(min(self.capacity - len(self._drains), len(self.mailbox))):
            self._start_drain()

    def _start_drain(self) -> None:
        if self._drains is _NO_DRAINS:
            self._drains = []
        self._drains.append(self.loop.create_task(self._drain(), name=f"drain {self.key}"))

    async def _drain(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._starting = False
        turn_ends = self.peer.clock.monotonic() + TURN
        try:
            while self.supervision.state in ("ready", "draining") and (work := self.mailbox.take()) is not None:
                if isinstance(work, Notice) and (work := heard_out(self, work)) is None:
                    break
                if not await self._handle(work, task):
                    return
                if self.peer.clock.monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = self.peer.clock.monotonic() + TURN
        finally:
            self._drains.remove(task)
            self.peer.changed(self)

    async def _handle(self, work: Work, task: asyncio.Task[None]) -> bool:
        """Handle one message; false when this drain must end."""
        invocation = work.invocation or Invocation(self, work)
        if invocation.started >= work.deadline.at and not work.begun:
            late = DeadlineExceeded(f"the deadline passed in the mailbox of {self.key}", detail={"begun": False})
            await self._drop(work, late)
            return True
        if self.peer.policy.switches and not work.begun and (switch := killed_work(self.peer.policy, self, work)):
            await self._drop(work, switch.error())
            return True
        outcome = invocation.begin()
        if outcome is None:
            self._widen()
            outcome = await self._finish(work, invocation, task)
        elif (rest := invocation.answer(outcome)) is not None:
            await rest
        if outcome is DONE:
            self.supervision.succeeded()
            return True
        return self._judge(outcome)

    async def _finish(self, work: Work, invocation: Invocation, task: asyncio.Task[None]) -> Outcome:
        """The handler waits for something: it is seen to run, and can be cancelled."""
        if self._running is _NONE_YET:
            self._running = {}
        self._running[work.envelope.id] = (work, task)
        self.peer.changed(self)
        try:
            outcome = await invocation.finish(task)
            if (rest := invocation.answer(outcome)) is not None:
                await rest
            if invocation.thread is not None and not invocation.thread.done():
                self.peer.telemetry.emit("agent.stuck", level="warning", agent=self.key, command=work.handler.name)
                await asyncio.wait([invocation.thread])
        finally:
            self._running.pop(work.envelope.id, None)
        self.peer.changed(self)
        return outcome

    async def _drop(self, work: Work, error: MeshError) -> None:
        """The caller has given up, or the work was killed, while it waited: it is not begun."""
        what = "expired" if isinstance(error, DeadlineExceeded) else error.code
        self.peer.count(what, agent=self.definition.name, where="mailbox")
        await _sent(work.respond.failure(error, Usage()))

    def _judge(self, outcome: Outcome) -> bool:
        if outcome.stop:
            return False
        if outcome.raised is None:
            self.supervision.succeeded()
        elif self.supervision.raised(outcome.raised) and self.supervision.state in ("ready", "draining"):
            self.crashed(outcome.raised)
            return False
        return True

    def told(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """An invocation has ended: the caller's own mistakes and cancellations are not on this agent's record."""
        error = outcome.error
        blamed = error is not None and error.blame == "target"
        self.tally.add(work.handler.name, seconds, not blamed, f"{error.code}: {error.message}" if error else "")

    # -- its life

    async def start(self) -> None:
        """Make its state and run `on_start`; returns when it is ready.

        Raises:
            HandlerFailed: it crashed too often at its start, and was given up.
        """
        await self.hooks.start()

    def renew(self, target: Any) -> None:
        """Put a fresh state in place of the old one."""
        self._target = target
        self._functions = _NONE_YET
        for kept in self.definition.keeps:
            kept.bind(target, self.peer.keeping, self.definition.name)

    @property
    def target(self) -> Any:
        """The object whose methods the handlers are."""
        return self._target

    def crashed(self, error: BaseException) -> None:
        """The state cannot be trusted: restart after a backoff, or give up."""
        self.hooks.crashed(error)

    def cancel(self, message_id: str, requester: str) -> bool:
        """Stop the message that `requester` sent under this id; its caller gets Cancelled. False: it is not here."""
        waiting = self.mailbox.withdraw(message_id, requester)
        if waiting is not None:
            waiting.cancelled = True
            self.hooks.later(_sent(waiting.respond.failure(Cancelled("the caller cancelled it"), Usage())))
            return True
        work, task = self._running.get(message_id, (None, None))
        if work is None or task is None or work.requester != requester or work.settled:
            return False
        if work.cancelled:
            return True
        work.cancelled = True
        task.cancel()
        return True

    def kill(self, policy: Policy) -> None:
        """Cancel what runs and is killed; its caller gets Killed. Again: nothing happens."""
        for work, task in tuple(self._running.values()):
            if not (work.settled or work.cancelled) and (switch := killed_work(policy, self, work)) is not None:
                work.cancelled, work.stopped_by = True, switch.error()
                work.stopped_by.detail.pop("begun", None)
                task.cancel()

    async def drain(self) -> None:
        """Take no more work, finish what is here, run `on_stop`. Again: waits for the same end.

        Bound it with a deadline: handlers end at theirs at the latest.
        """
        if self.supervision.state not in ("draining", "failed", "stopped"):
            self.supervision.step("drained")
            self.peer.changed(self)
        self.pump()
        while self._drains:
            await asyncio.wait(tuple(self._drains))
        await self.stop()

    async def stop(self) -> None:
        """Stop at once: running handlers are cancelled, what waits is answered Draining. Again: nothing happens."""
        if self.supervision.state == "stopped":
            return
        was = self.supervision.state
        self.supervision.step("stopped")
        for task in tuple(self._drains):
            task.cancel()
        if self._drains:
            await asyncio.wait(tuple(self._drains), timeout=STOP_TIMEOUT)
        await self.flush(Draining(f"{self.key} has stopped", detail={"begun": False}))
        await self.hooks.stop(ran=was in ("ready", "draining"))

    async def flush(self, error: MeshError) -> None:
        """Answer everything that waits with `error`."""
        while (work := self.mailbox.take()) is not None:
            await _sent(work.respond.failure(error, Usage()))


async def _sent(answer: Awaitable[None] | None) -> None:
    if answer is not None:
        await answer
