"""`Keeper`: keeps one process of the plan running: starts it, watches it, starts it again, or gives it up loudly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal

from mesh.host.channel import Failed, Gone, Hosted, Orders, Pulsed, Ready, Report
from mesh.host.child import Child
from mesh.host.plan import ProcessPlan
from mesh.host.pulse import Pulse
from mesh.host.restarts import Again, GiveUp, RestartPolicy, Restarts
from mesh.host.spawning import Spawner
from mesh.protocols.ports import Clock

_TO_ANSWER = 0.2
KeeperState = Literal["starting", "ready", "waiting", "draining", "stopped", "given-up"]


class Keeper:
    """One process, over all its runs.

    `on_change` is called whenever what there is to know of it has changed, `on_line` with every line that it writes.
    """

    def __init__(
        self,
        plan: ProcessPlan,
        orders: Orders,
        *,
        environment: Mapping[str, str],
        restarts: RestartPolicy,
        random: Random,
        clock: Clock,
        on_change: Callable[[Keeper], None],
        on_line: Callable[[Keeper, bytes], None],
        start_timeout: float = 30.0,
        hung_after: float = 10.0,
        spawner: Spawner,
    ) -> None:
        self.plan = plan
        self.orders = orders
        self.state: KeeperState = "stopped"
        self.reason = ""
        self.hosted: tuple[Hosted, ...] = ()
        self.files: tuple[str, ...] = ()
        self.last: Pulsed | None = None
        self.child: Child | None = None
        self.ended_pid = 0
        self.restarts = Restarts(restarts, random)
        self._environment = environment
        self._clock = clock
        self._on_change = on_change
        self._on_line = on_line
        self._start_timeout = start_timeout
        self._hung_after = hung_after
        self._spawner = spawner
        self._pulse = Pulse(hung_after)
        self._began = 0.0
        self._failure: Failed | None = None
        self._verdict = ""
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._renewing = False
        self._wake = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process now; 0 while there is none."""
        return self.child.pid if self.child is not None else 0

    def begin(self) -> None:
        """Start keeping it. Returns at once."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.plan.token}")

    async def drain(self, grace: float) -> None:
        """Let it finish what it has and end; after `grace` seconds it is killed. Again: waits for the same end."""
        self._stopping = True
        self._wake.set()
        await self._let_go(grace)
        if self._task is not None:
            await self._task

    async def renew(self, grace: float) -> None:
        """Drain it and start it anew, as often as it takes: what it did before is forgiven. For changed code."""
        self.restarts.forgive()
        self._renewing = True
        self._wake.set()
        await self._let_go(grace)

    def kill(self) -> None:
        """End it now; it is not started again while draining."""
        if self.child is not None:
            self.child.kill_group()

    # -- one run after the other

    async def _keep(self) -> None:
        while not self._stopping:
            self._renewing = False
            self._wake.clear()
            why = await self._run_once()
            if not self._stopping and not self._renewing:
                await self._recover(why)
        self._become("stopped")

    async def _run_once(self) -> str:
        self._failure, self._verdict = None, ""
        self._pulse.forget()
        self._began = self._clock.monotonic()
        self.restarts.started(self._began)
        child = self.child = Child(
            self.orders,
            environment=self._environment,
            on_report=self._heard,
            on_line=lambda text: self._on_line(self, text),
            spawner=self._spawner,
        )
        try:
            await child.start()
        except (OSError, ValueError) as error:
            self.child = None
            child.done.set()
            return f"cannot be started: {error}"
        self._become("starting")
        return await self._watched(child)

    async def _watched(self, child: Child) -> str:
        if self._stopping or self._renewing:  # it could not be told while it was being started
            child.terminate()
        watch = asyncio.create_task(self._watch(child))
        try:
            status = await child.ended()
        except asyncio.CancelledError:
            child.kill_group()
            raise
        finally:
            watch.cancel()
            self.child, self.last, self.ended_pid = None, None, child.pid
        return self._verdict or (self._failure.message if self._failure else described(status))

    async def _watch(self, child: Child) -> None:
        while not self._verdict:
            await self._clock.sleep(min(1.0, self._hung_after / 5))
            now = self._clock.monotonic()
            if self.state == "starting" and now - self._began > self._start_timeout:
                self._verdict = f"was not ready within {self._start_timeout:g} s and was killed"
            elif self.state == "ready" and self._pulse.hangs(now):
                self._verdict = f"hung: no heartbeat for {self._pulse.silent_for(now):.1f} s, and was killed"
                child.ask_where()
                await self._clock.sleep(_TO_ANSWER)
        child.kill_group()

    async def _recover(self, why: str) -> None:
        hopeless = self._failure is not None and self._failure.hopeless
        decision = self.restarts.crashed(self._clock.monotonic(), why, hopeless=hopeless)
        match decision:
            case GiveUp(reason):
                self._become("given-up", reason)
                await self._wake.wait()
            case Again(delay):
                self._become("waiting", f"{why}; again in {delay:.1f} s")
                await self._pause(delay)

    async def _pause(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _let_go(self, grace: float) -> None:
        child = self.child
        if child is None:
            return
        self._become("draining")
        child.terminate()
        try:
            async with asyncio.timeout(grace):
                await child.done.wait()
        except TimeoutError:
            self._verdict = f"did not drain within {grace:g} s and was killed"
            self._on_line(self, f"{self.plan.token} {self._verdict}".encode())
            child.kill_group()

    # -- what it says

    def _heard(self, report: Report) -> None:
        match report:
            case Ready():
                self.hosted, self.files = report.hosted, report.files
                self._pulse.heard(self._clock.monotonic())
                if self.state == "starting":
                    self._become("ready")
            case Pulsed():
                self.last = report
                self._pulse.heard(self._clock.monotonic())
            case Failed():
                self._failure, self.files = report, report.files
            case Gone():
                self._pulse.forget()

    def _become(self, state: KeeperState, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self._on_change(self)


def described(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"


def environment_for(orders: Orders, extra: Mapping[str, str]) -> dict[str, str]:
    """A process's environment: ours, the manifest's, and what the mesh itself tells it."""
    return {
        **os.environ,
        **extra,
        "PYTHONUNBUFFERED": "1",
        "MESH_HOST": orders.host,
        "MESH_PROCESS": orders.token,
        "MESH_NAMESPACE": orders.namespace,
        "MESH_REPOSITORIES": os.pathsep.join(orders.repositories),
    }
