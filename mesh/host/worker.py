"""The main of a worker process: takes its orders, loads the code, hosts its instances in the mesh, and drains when asked.

Started as `python -P -m mesh.host.worker <descriptor>`, or forked by the nursery. The code is loaded before there is an event loop, so that
what it does on import cannot disturb one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
import traceback
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh import event_loop
from mesh.clock import SystemClock
from mesh.host.channel import Failed, Gone, Hosted, Orders, Pulsed, Ready
from mesh.host.joining import taken_place
from mesh.host.json_logging import log_as_json
from mesh.host.limiting import apply
from mesh.host.loading import CannotLoad, load, loaded_below
from mesh.host.reserves import Reserves
from mesh.host.tether import Tether
from mesh.protocols.errors import HandlerFailed, Semantic, Transient
from mesh.registry.lease import NameTaken
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from mesh.actors.running.actor import Actor
    from mesh.client.mesh import Mesh

logger = logging.getLogger("mesh.host.worker")
_CANNOT_LOAD = 78
_FAILED = 1
_RETRY = 0.5
_NAME_LOST = "another start of it has its name"
_HOPELESS = (TypeError, ValueError, ImportError, Semantic)
_HOPEFUL = (HandlerFailed, NameTaken)


def main() -> None:
    """Run one worker to its end; the number of its channel is our last argument."""
    work(int(sys.argv[-1]))


def work(channel: int) -> None:
    """Run one worker to its end, in this process, which is all its own."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_as_json()
    tether = Tether(channel)
    orders = tether.orders()
    folder = Path(orders.folder)
    try:
        apply(orders.limits)
        thing = load(orders.use, folder, orders.kind)
    except (CannotLoad, OSError, ValueError) as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        tether.report(Failed(message=str(error), hopeless=True, files=loaded_below(folder)))
        sys.exit(_CANNOT_LOAD)
    sys.exit(event_loop.run(Worker(orders, tether, thing).run()))


class Worker:
    """One process's life in the mesh."""

    def __init__(self, orders: Orders, tether: Tether, thing: Any) -> None:
        self._orders = orders
        self._tether = tether
        self._thing = thing
        self._clock = SystemClock()
        self._stop = asyncio.Event()
        self._handled = 0
        self._handled_at: float | None = None
        self._reserves = Reserves()
        self._cannot_go_on = ""
        self._starting: asyncio.Task[Any] | None = None

    async def run(self) -> int:
        """Host, report, beat, drain: the exit status."""
        loop = asyncio.get_running_loop()
        self._starting = asyncio.current_task()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_go)
        self._tether.on_loss(lambda: self._stop_from_outside(loop))
        try:
            return await self._live()
        except asyncio.CancelledError:
            if not self._stop.is_set():
                raise
            self._tether.report(Gone())
            return 0
        except Exception as error:
            logger.exception("%s cannot go on", self._orders.token)
            hopeless = isinstance(error, _HOPELESS) and not isinstance(error, _HOPEFUL)
            files = loaded_below(Path(self._orders.folder))
            self._tether.report(Failed(message=f"{type(error).__name__}: {error}", hopeless=hopeless, files=files))
            return _FAILED

    def _stop_from_outside(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop has closed: we are ending anyway
            loop.call_soon_threadsafe(self._asked_to_go)

    def _asked_to_go(self) -> None:
        """Drain; while it starts there is nothing to drain, and what it waits for (a server, an `on_start`) may never come."""
        self._stop.set()
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()

    async def _live(self) -> int:
        orders = self._orders
        common = {"process": orders.token, "host": orders.host}
        telemetry = Telemetry(self._clock.now, JsonLines(), common=common)
        async with AsyncExitStack() as stack:
            mesh = await self._enter(stack, telemetry)
            mesh.peer.on_escalated(self._given_up)
            hosted = await self._host(mesh)
            self._starting = None
            self._tether.report(Ready(hosted=hosted, files=loaded_below(Path(orders.folder))))
            await self._beat(mesh)
            await mesh.drain(orders.grace)
        if self._cannot_go_on:
            self._tether.report(Failed(message=self._cannot_go_on, files=loaded_below(Path(orders.folder))))
            return _FAILED
        self._tether.report(Gone())
        return 0

    def _given_up(self, actor: Actor, error: BaseException) -> None:
        """What an actor's own restarts did not mend, a new process may."""
        self._give_up(f"{actor.key} crashed too often, the last time of {type(error).__name__}")

    def _give_up(self, why: str) -> None:
        if not self._cannot_go_on:
            logger.error("%s ends, to be started anew: %s", self._orders.token, why)
            self._cannot_go_on = why
            self._stop.set()

    async def _enter(self, stack: AsyncExitStack, telemetry: Telemetry) -> Mesh:
        """Take our place, which a predecessor that still drains may hold for a while, in a mesh whose server may be away for one."""
        orders = self._orders
        ends = self._clock.monotonic() + orders.patience
        said = ""
        while True:
            place = taken_place(
                orders.target, namespace=orders.namespace, process=orders.token, host=orders.host, telemetry=telemetry
            )
            try:
                return await stack.enter_async_context(place)
            except (NameTaken, Transient) as error:
                if self._stop.is_set() or self._clock.monotonic() > ends:
                    raise
                if said != (said := str(error)):
                    logger.warning("%s waits for its place: %s", orders.token, error)
                await self._clock.sleep(_RETRY)

    async def _host(self, mesh: Mesh) -> tuple[Hosted, ...]:
        orders = self._orders
        if orders.kind == "workflow":
            await mesh.host_workflow(self._thing, orders.versions)
            return (Hosted(agent=_workflow_names(self._thing), instance=orders.token),)
        hosted = []
        for instance in orders.instances:
            actor = await mesh.host(self._thing, instance=instance, labels=orders.labels, capacity=orders.capacity)
            about = actor.definition
            hosted.append(Hosted(agent=about.name, instance=instance, version=about.version))
        return tuple(hosted)

    async def _beat(self, mesh: Mesh) -> None:
        while not self._stop.is_set():
            due = self._clock.monotonic() + self._orders.beat_every
            try:
                async with asyncio.timeout(self._orders.beat_every):
                    await self._stop.wait()
            except TimeoutError:
                if why := self._reserves.look() or (_NAME_LOST if mesh.peer.presence.superseded else ""):
                    self._give_up(why)
                self._tether.beat(self._pulse(mesh, self._clock.monotonic() - due))

    def _pulse(self, mesh: Mesh, lag: float) -> Pulsed:
        now = self._clock.monotonic()
        handled = sum(actor.figures().handled for actor in mesh.actors)
        if handled != self._handled:
            self._handled, self._handled_at = handled, now
        idle = None if self._handled_at is None else now - self._handled_at
        return Pulsed(lag=max(0.0, lag), handled=handled, idle=idle, connected=mesh.connected)


def _workflow_names(thing: Any) -> str:
    several = thing if isinstance(thing, list | tuple) else [thing]
    return ", ".join(sorted({str(each.name) for each in several}))


if __name__ == "__main__":
    main()
