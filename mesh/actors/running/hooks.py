"""The life of an actor at its edges: `on_start`, restarts after a crash, `on_stop`, and its `@every` timers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import Timer
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.running.context import Context
from mesh.actors.running.doing import doing
from mesh.actors.running.invocation import place_of
from mesh.actors.running.work import NOBODY, Work
from mesh.protocols.errors import AgentLost, Draining, HandlerFailed, MeshError
from mesh.resilience.deadline import Deadline
from mesh.telemetry.redaction import redacted

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0


class Hooks:
    """What happens to one actor that is not a message from outside."""

    __slots__ = ("_actor", "_failure", "_restart", "_settled", "_sound", "_tasks", "_timers")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._timers: dict[Timer, asyncio.TimerHandle] | None = None
        self._sound = False
        self._restart: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._failure: HandlerFailed | None = None

    @property
    def _peer(self) -> Peer:
        return self._actor.peer

    # -- starting and restarting

    async def start(self) -> None:
        """Make it ready; crashes on the way are restarted as any crash is.

        Raises:
            HandlerFailed: it was given up. Draining: it was stopped meanwhile.
        """
        await self._begin()
        if self._actor.supervision.state in ("starting", "restarting"):
            self._settled = self._actor.loop.create_future()
            await self._settled
        if self._failure is not None:
            raise self._failure
        self.check_there()

    def check_there(self) -> None:
        """Nothing, unless it is being taken away, or has been.

        Raises:
            Draining: it is.
        """
        if self._actor.supervision.state in ("draining", "stopped"):
            raise Draining(f"{self._actor.key} was stopped while it started", detail={"begun": False})

    async def _begin(self) -> None:
        before = _cancellations()
        try:
            self._actor.renew(self._actor.definition.make())
            await self._hook("on_start", START_TIMEOUT)
        except BaseException as error:
            if _interrupted(error, before):
                raise
            self.crashed(error)  # whatever else on_start raises is a crash
        else:
            self._ready()

    def _ready(self) -> None:
        if self._actor.supervision.state != "starting":
            return
        self._sound = True
        self._actor.supervision.step("started")
        self._settle()
        for timer in self._actor.definition.timers:
            self._schedule(timer)
        self._peer.changed(self._actor)
        self._actor.pump()

    def crashed(self, error: BaseException) -> None:
        """Restart after a backoff, or give up and tell upwards."""
        self._sound = False
        if self._actor.supervision.state == "stopped":
            return
        actor, place = self._actor, place_of(error, type(error))
        text = redacted(f"{type(error).__name__}: {error}")
        after = actor.supervision.crashed(self._peer.clock.monotonic())
        self._cancel_timers()
        about = {"agent": actor.definition.name, "instance": actor.instance, "error": text, "where": place}
        if after is None:
            self._peer.telemetry.emit("agent.failed", level="error", **about)
            self._failure = HandlerFailed(f"{actor.key} crashed too often and was given up: {text}")
            self._settle()
            self.later(actor.flush(AgentLost(f"{actor.key} was given up", detail={"begun": False})))
            self._peer.escalated(actor, error)
        else:
            self._peer.telemetry.emit("agent.restarting", level="warning", after=after, **about)
            if actor.supervision.state == "restarting":
                self._restart = actor.loop.call_later(after, self._again)
        self._peer.changed(actor)

    def _again(self) -> None:
        if self._actor.supervision.state == "restarting":
            self._actor.supervision.step("restarted")
            self.later(self._begin())

    async def stop(self) -> None:
        """No more timers and restarts; `on_stop` if it was ready and did not crash."""
        self._cancel_timers()
        if self._restart is not None:
            self._restart.cancel()
        self._settle()
        if self._sound:
            before = _cancellations()
            try:
                await self._hook("on_stop", STOP_TIMEOUT)
            except BaseException as error:
                if _interrupted(error, before):
                    raise
                text = redacted(f"{type(error).__name__}: {error}")
                self._peer.telemetry.emit("agent.stop_failed", level="warning", agent=self._actor.key, error=text)
        for task in tuple(self._tasks or ()):
            if task is not asyncio.current_task():
                task.cancel()

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something of the actor's soon."""
        task = self._actor.loop.create_task(work, name=f"hook {self._actor.key}")
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hook(self, name: str, seconds: float) -> None:
        hook = getattr(self._actor.target, name, None)
        if hook is None or getattr(hook, "__func__", None) in (Agent.on_start, Agent.on_stop):
            return
        context = Context(self._actor, self._work(name, seconds))
        doing.set(None)
        deadline = Deadline.after(self._peer.clock, seconds)
        async with deadline.enforce(name):
            result = hook(context) if inspect.signature(hook).parameters else hook()
            if inspect.isawaitable(result):
                await result

    def _work(self, name: str, seconds: float, handler: Any = None) -> Work:
        envelope = Lineage(sender=self._actor.sender).compose(self._peer.ids, "control", name)
        return Work(envelope, handler, NOBODY, Deadline.after(self._peer.clock, seconds))

    # -- timers

    def _schedule(self, timer: Timer) -> None:
        due = timer.mark.seconds
        if self._timers is None:
            self._timers = {}
        self._timers[timer] = self._actor.loop.call_later(due, self._tick, timer)

    def _tick(self, timer: Timer) -> None:
        self._schedule(timer)
        if any(work.handler is timer.handler for work in self._actor.mailbox):
            return
        try:
            self._actor.offer(self._work(timer.handler.name, timer.mark.timeout, timer.handler))
        except MeshError as error:
            self._peer.count("tick-skipped", agent=self._actor.definition.name, error=error.code)

    def _cancel_timers(self) -> None:
        for handle in (self._timers or {}).values():
            handle.cancel()
        self._timers = None

    def _settle(self) -> None:
        """Whoever waits for the start need not wait any more."""
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _interrupted(error: BaseException, before: int) -> bool:
    """Whether it is we who are to stop; what a hook waits for may have been cancelled by anybody."""
    return isinstance(error, KeyboardInterrupt | GeneratorExit) or _cancellations() > before
