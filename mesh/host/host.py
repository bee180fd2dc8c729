"""`Host`: the processes of one manifest with a name, a folder, a record, and health checks.

`mesh up` and the demo run it; `async with` starts it, waits until every instance is ready, and drains it at the end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from mesh.clock import SystemClock, SystemIds
from mesh.host.agent import HostAgent
from mesh.host.claim import claim_name
from mesh.host.console import Console, Silent
from mesh.host.health import Health
from mesh.host.host_record import HostRecord, HostState, ProcessRecord, remove_host, write_host
from mesh.host.keeper import Keeper
from mesh.host.manifest import Manifest
from mesh.host.notify import notify
from mesh.host.reload import ChangedFiles
from mesh.host.spawner_choice import spawner_for
from mesh.host.spawning import Spawner
from mesh.host.supervisor import Supervisor
from mesh.protocols.ports import Clock
from mesh.server.binary import ServerUnusable
from mesh.server.embedded import revive_server
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

_TICK = 0.5
_FIGURES_EVERY = 5.0
_MARGIN = 2.0
"""Seconds that a worker has beyond its own grace, to say goodbye."""


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """What may differ from host to host. `embedded`: the folder's own server is used, and started again if it dies."""

    health: str | None = None
    reload: bool = False
    embedded: bool = False


class Host:
    """A running host. Its record in `.mesh/hosts/` must have been claimed (`claim_name`) or be nobody else's.

    With `mesh`, its own process in the mesh, it hosts the agent `host` there and tells everybody of workers that died.
    """

    def __init__(
        self,
        manifest: Manifest,
        record: HostRecord,
        *,
        target: ServerTarget,
        folder: MeshFolder,
        options: HostOptions | None = None,
        console: Console | None = None,
        clock: Clock | None = None,
        spawner: Spawner | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        self.manifest = manifest
        self.record = record
        self.asked_to_drain = asyncio.Event()
        self._mesh = mesh
        self._target = target
        self._folder = folder
        self._options = options or HostOptions()
        self._console = console or Silent()
        self._clock = clock or SystemClock()
        self._changed_files = ChangedFiles()
        self._ticker: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._trouble = ""
        self._renewing: set[asyncio.Task[None]] = set()
        self._recorded_at = 0.0
        self.supervisor = Supervisor(
            manifest,
            host=record.name,
            target=target,
            namespace=record.namespace,
            folder=folder,
            console=self._console,
            clock=self._clock,
            ids=SystemIds(self._clock),
            spawner=spawner or spawner_for(manifest, reload=self._options.reload),
        )
        health = self._options.health or manifest.host.health
        self.health = Health(health, {"/healthz": self._healthz, "/readyz": self._readyz}) if health else None

    @classmethod
    def launch(
        cls,
        manifest: Manifest,
        *,
        target: ServerTarget,
        folder: MeshFolder,
        namespace: str | None = None,
        name: str | None = None,
        console: Console | None = None,
        options: HostOptions | None = None,
    ) -> Host:
        """A host in this process, with a name claimed in the folder: for `async with`.

        Raises:
            Refused: the manifest already runs in that folder, or the name is taken.
        """
        namespace = namespace or manifest.mesh.namespace
        record = claim_name(folder, manifest, asked=name, namespace=namespace, url=target.url, clock=SystemClock())
        return cls(manifest, record, target=target, folder=folder, console=console, options=options)

    @property
    def reloads(self) -> bool:
        """Whether changed code is loaded anew: then nothing is ever hopeless."""
        return self._options.reload

    @property
    def state(self) -> HostState:
        """`degraded`: a process was ready once, or given up, and is not ready now."""
        if self.supervisor.draining:
            return "draining"
        if self.supervisor.ready:
            return "ready"
        troubled = any(keeper.restarts.count or keeper.state == "given-up" for keeper in self.supervisor.keepers)
        return "degraded" if troubled else "starting"

    @property
    def logs(self) -> Path:
        """The folder of its logs."""
        return self._folder.logs

    def ask_to_drain(self) -> None:
        """Set `asked_to_drain`, which whoever runs this host waits for."""
        self.asked_to_drain.set()

    async def start(self) -> None:
        """Start everything. Returns before it is ready.

        Raises:
            BadSettings: the address of the health checks cannot be had.
        """
        self._folder.create()
        if self.health is not None:
            await self.health.start()
        self.supervisor.on_change(self._write_record)
        self.supervisor.on_change(self._learn_files)
        if self._mesh is not None:
            self.supervisor.on_change(self._bury)
            await self._mesh.host(HostAgent(self), instance=self.record.name, labels=self.manifest.host.labels)
        self.supervisor.start()
        self._ticker = asyncio.create_task(self._tick(), name="host ticker")

    async def until_ready(self, timeout: float | None = None) -> None:
        """Wait until every instance of every process is ready.

        Raises:
            NotReady: one was given up, or it took longer than `timeout` seconds (default: the manifest's `start_timeout`).
        """
        await self.supervisor.until_ready(timeout or self.manifest.host.start_timeout)

    async def drain(self) -> None:
        """Let every process finish and end, then take the record away. Again: nothing happens."""
        for running in (self._ticker, self._reviving):
            if running is not None:
                running.cancel()
        for task in self._renewing:
            task.cancel()
        await self.supervisor.drain(self.manifest.host.grace + _MARGIN)
        if self.health is not None:
            await self.health.stop()
        if self._mesh is not None:
            await self._mesh.drain(self.manifest.host.grace)
        remove_host(self._folder, self.record.name)

    def kill(self) -> None:
        """End every process now: a drain that is under way has nothing left to wait for."""
        self.supervisor.kill()

    async def __aenter__(self) -> Host:
        try:
            await self.start()
            await self.until_ready()
        except BaseException:
            await self.drain()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    # -- what happens meanwhile

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(_TICK)
            notify("WATCHDOG=1")
            if self._options.embedded and (self._reviving is None or self._reviving.done()):
                self._reviving = asyncio.create_task(self._revive())  # beside the ticker: it may take half a minute
            if self._options.reload:
                self._reload()
            if self._clock.monotonic() - self._recorded_at >= _FIGURES_EVERY:
                self._write_record()

    async def _revive(self) -> None:
        try:
            revived = await asyncio.to_thread(revive_server, self._folder)
        except (ServerUnusable, OSError) as error:
            if str(error) != self._trouble:  # once, not with every tick
                self._trouble = str(error)
                self._console.say(f"mesh: the embedded server is gone and cannot be started: {error}", loud=True)
            return
        self._trouble = ""
        if revived is not None:
            self._console.say(f"mesh: the embedded server had died; it runs again on {revived.url}", loud=True)

    def _bury(self) -> None:
        assert self._mesh is not None
        for keeper in self.supervisor.keepers:
            pid, keeper.ended_pid = keeper.ended_pid, 0
            if pid:
                self._mesh.directory.bury(keeper.plan.token, "its host saw it end", pid=pid)

    def _learn_files(self) -> None:
        if self._options.reload:
            self._changed_files.learn(file for keeper in self.supervisor.keepers for file in keeper.files)

    def _reload(self) -> None:
        files = self._changed_files.look({file for keeper in self.supervisor.keepers for file in keeper.files})
        for keeper in self.supervisor.keepers:
            mine = files.intersection(keeper.files)
            if mine:
                self._console.say(f"mesh: {keeper.plan.token} is started anew: {', '.join(sorted(mine))} changed")
                task = asyncio.create_task(keeper.renew(self.manifest.host.grace + _MARGIN))
                self._renewing.add(task)
                task.add_done_callback(self._renewing.discard)

    def _write_record(self) -> None:
        self._recorded_at = self._clock.monotonic()
        processes = tuple(_process(keeper) for keeper in self.supervisor.keepers)
        self.record = msgspec.structs.replace(self.record, state=self.state, processes=processes)
        try:
            write_host(self._folder, self.record)
        except OSError as error:
            self._console.say(f"mesh: the host's record cannot be written: {error}", loud=True)

    def _healthz(self) -> tuple[bool, object]:
        return True, {"host": self.record.name, "state": self.state}

    def _readyz(self) -> tuple[bool, object]:
        away = [each.plan.token for each in self.supervisor.keepers if each.last and not each.last.connected]
        ready = self.state == "ready" and not away
        waiting = self.supervisor.explain() or (f"the server is out of reach of {', '.join(away)}" if away else "")
        return ready, {"host": self.record.name, "state": self.state, "waiting_for": waiting}


def _process(keeper: Keeper) -> ProcessRecord:
    mark = keeper.child.mark if keeper.child is not None else None
    last = keeper.last
    return ProcessRecord(
        process=keeper.plan.token,
        agent=keeper.hosted[0].agent if keeper.hosted else keeper.plan.name,
        use=keeper.plan.use,
        state=keeper.state,
        pid=keeper.pid,
        process_started=mark.started if mark else "",
        restarts=keeper.restarts.count,
        instances=keeper.plan.instances,
        reason=keeper.reason,
        lag=last.lag if last else None,
        idle=last.idle if last else None,
        handled=last.handled if last else 0,
        connected=last.connected if last else None,
    )
