"""`Actor`: one running instance: a mailbox, the state the handlers work on, and the restarts.

It has no task and no subscription of its own: a drain task exists only while its mailbox holds something. At most
`capacity` messages are handled at once, one by default; where that is adaptive, it is what `gradient.py` finds out. What crashes it restarts it alone; its mailbox waits meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.admitting.admission import admit, hand_back
from mesh.actors.admitting.flow import Flow
from mesh.actors.admitting.gradient import Gradient
from mesh.actors.admitting.killing import killed_work
from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.admitting.pressure import LEAST
from mesh.actors.declaring.definition import AgentDefinition
from mesh.actors.declaring.handler import Handler
from mesh.actors.declaring.marks import BidHook
from mesh.actors.events.notice import Notice, heard_out
from mesh.actors.exchanging.lineage import MAX_HOPS
from mesh.actors.running.hooks import STOP_TIMEOUT, Hooks
from mesh.actors.running.invocation import DONE, Invocation, Outcome
from mesh.actors.running.standing import Standing
from mesh.actors.running.supervision import Supervision
from mesh.actors.running.tally import Tally
from mesh.actors.running.work import Work
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    MeshError,
    Overloaded,
    RateLimited,
    TimedOut,
)
from mesh.registry.records import Figures

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.policy.policy import Policy

TURN = 0.01
"""Seconds after which a drain lets others have the loop: a full mailbox must not keep the heartbeats waiting."""
_NONE_YET: dict[Any, Any] = {}
_NO_DRAINS: list[asyncio.Task[None]] = []
"""What an actor has that was never asked: empty tables of its own would be a tenth of its memory. Never written to."""


class Actor(Standing):
    """One instance of an agent in this process. Cheap while idle: there may be a hundred thousand."""

    __slots__ = (
        "_drains", "_functions", "_running", "_starting", "_target", "capacity", "definition", "flow", "hooks", "instance", "key", "labels", "loop",
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
        """How many messages it handles at once, now."""
        self.sender = Sender(definition.name, instance, peer.process)
        self.mailbox = Mailbox(definition.mailbox)
        self.tally = Tally()
        self.supervision = Supervision(definition.restarts, peer.ids.random)
        self.loop = asyncio.get_running_loop()
        self.started_at = peer.clock.now()
        self.hooks = Hooks(self)
        self.flow: Flow | None = None
        self._target: Any = None
        self._functions: dict[str, Callable[..., Any]] = _NONE_YET
        self._running: dict[Work, asyncio.Task[None]] = _NONE_YET
        self._drains = _NO_DRAINS
        self._starting = False

    # -- what it is made of

    def figures(self) -> Figures:
        """Load, measured latency and success, and the standing bids they speak for (the contract net's, if there is one)."""
        figures = self.tally.figures(
            self.definition.handlers.values(), waiting=self.waiting, running=self.running, capacity=self.capacity
        )
        bids = figures.bids if self.peer.standing_bids is None else self.peer.standing_bids(self)
        ceiling = self.flow.gradient.most if self.flow is not None and self.flow.gradient is not None else 0
        return msgspec.structs.replace(figures, bids=bids, ceiling=ceiling)

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
            admit(self, work)
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
            envelope = notice.envelope
            if envelope.hops > MAX_HOPS or envelope.chain or envelope.constraints is not None:
                return False
        if self.peer.policy.switches or self.peer.pressure.takes < LEAST or self.supervision.state != "ready":
            return False
        if not self.mailbox.take_in(notices, self):
            return False
        if len(self._drains) < self.capacity:
            self.pump()
        return True

    def pump(self) -> None:
        """Start a drain if there is work and room for it; one that is about to start sees to everything that waits."""
        if self._starting or not self.mailbox:
            return
        self.peer.pressure.busy(self)
        if self.supervision.state not in ("ready", "draining"):
            return
        if len(self._drains) < self.capacity:
            self._starting = True
            self._start_drain()
        else:
            self.contended().crowded()

    def _widen(self) -> None:
        """A handler waits for something; what is behind it in the mailbox need not, as far as `capacity` goes."""
        if self.mailbox.ready:
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
            while (
                self.supervision.state in ("ready", "draining")
                and len(self._drains) <= self.capacity
                and (work := self.mailbox.take()) is not None
            ):
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
        if self.flow is not None:
            self.flow.began(invocation.started, waiting=self.mailbox.ready, capacity=self.capacity)
        outcome = invocation.begin()
        if self.flow is not None:
            self.flow.waits = outcome is None
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
        self._running[work] = task
        self.mailbox.entered(work)
        gradient = self._gradient()
        ticket = gradient.began(len(self._running)) if gradient is not None else 0
        outcome: Outcome | None = None
        self.peer.changed(self)
        try:
            outcome = await invocation.finish(task)
            if (rest := invocation.answer(outcome)) is not None:
                await rest
            if invocation.thread is not None and not invocation.thread.done():
                self.peer.telemetry.emit("agent.stuck", level="warning", agent=self.key, command=work.handler.name)
                await asyncio.wait([invocation.thread])
        finally:
            self._running.pop(work, None)
            self.mailbox.left(work)
            if gradient is not None and ticket:
                self._adapt(gradient, ticket, work, outcome, self.peer.clock.monotonic() - invocation.started)
        self.peer.changed(self)
        return outcome

    def _gradient(self) -> Gradient | None:
        """What moves the capacity, if that is adaptive."""
        if self.flow is None and not self.definition.adapts(self.capacity):
            return None
        return self.contended().gradient

    def _adapt(self, gradient: Gradient, ticket: int, work: Work, outcome: Outcome | None, seconds: float) -> None:
        """How long a call took says how many there should be at once: but not one that was stopped, or failed early."""
        error = outcome.error if outcome is not None else None
        says = outcome is not None and (error is None or isinstance(error, DeadlineExceeded | TimedOut))
        dropped = isinstance(error, Overloaded) and not isinstance(error, RateLimited)
        if gradient.ended(ticket, work.handler.name, seconds if says else None, dropped=dropped):
            self.capacity = gradient.limit
            self._widen()

    async def _drop(self, work: Work, error: MeshError) -> None:
        """The caller has given up, or the work was killed, while it waited: it is not begun."""
        what = "expired" if isinstance(error, DeadlineExceeded) else error.code
        self.peer.count(what, agent=self.definition.name, where="mailbox")
        await self._hand_back(work, error)

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

    def contended(self) -> Flow:
        """What is known of how fast it gets through what waits; made when somebody has to wait, or several may run at once."""
        if self.flow is None:
            adapts = self.definition.adapts(self.capacity)
            self.flow = Flow(self.definition.mailbox, Gradient(self.capacity) if adapts else None)
        return self.flow

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
            self.hooks.later(self._hand_back(waiting, Cancelled("the caller cancelled it")))
            return True
        for work, task in self._running.items():
            if work.envelope.id == message_id and work.requester == requester and not work.settled:
                if not work.cancelled:
                    work.cancelled = True
                    task.cancel()
                return True
        return False

    def kill(self, policy: Policy) -> None:
        """Cancel what runs and is killed; its caller gets Killed. Again: nothing happens."""
        for work, task in tuple(self._running.items()):
            if not (work.settled or work.cancelled) and (switch := killed_work(policy, self, work)) is not None:
                work.cancelled, work.stopped_by = True, switch.error()
                work.stopped_by.detail.pop("begun", None)
                task.cancel()

    async def drain(self) -> None:
        """Take no more work, finish what is here, run `on_stop`. Again: waits for the same end. What waits for one that starts,
        or has crashed, is answered Draining: there is no state to begin it on.

        Bound it with a deadline: handlers end at theirs at the latest.
        """
        was = self.supervision.state
        if was == "starting":
            await self.stop()
            return
        if was in ("ready", "restarting"):
            self.supervision.step("drained")
            self.peer.changed(self)
        if was == "restarting":
            await self.flush(self._leaving())
        self.pump()
        while self._drains:
            await asyncio.wait(tuple(self._drains))
        await self.stop()

    async def stop(self) -> None:
        """Stop at once: running handlers are cancelled, what waits is answered Draining. Again: nothing happens."""
        if self.supervision.state == "stopped":
            return
        self.supervision.step("stopped")
        for task in tuple(self._drains):
            task.cancel()
        if self._drains:
            await asyncio.wait(tuple(self._drains), timeout=STOP_TIMEOUT)
            self._drains[:] = [
                each for each in self._drains if not each.done()
            ]  # those without a first step stand there yet
        await self.flush(self._leaving())
        await self.hooks.stop()

    async def flush(self, error: MeshError) -> None:
        """Answer everything that waits with `error`."""
        for work in self.mailbox.clear():
            await self._hand_back(work, error)

    def _leaving(self) -> Draining:
        return Draining(f"{self.key} has stopped", detail={"begun": False})

    async def _hand_back(self, work: Work, error: MeshError) -> None:
        rest = hand_back(self, work, error)
        if rest is not None:
            await rest
