"""`Supervisor`: all the processes of one host, kept running until it is told to let them go.

Below: `Keeper` keeps one. Above: `Host` gives it a folder, a server and a place in the mesh. This is what `mesh up`, the demo
and the tests run alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.host.channel import Orders
from mesh.host.console import Console
from mesh.host.keeper import Keeper, environment_for
from mesh.host.manifest import Manifest
from mesh.host.plan import ProcessPlan, plan
from mesh.host.process_log import ProcessLog
from mesh.host.spawning import Spawner
from mesh.protocols.errors import Transient
from mesh.protocols.ports import Clock, Ids
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget

_PATIENCE = 0.8


class NotReady(Transient):
    """Not every instance became ready. The message says which, and why."""

    code = "not-ready"


class Supervisor:
    """Starts the processes of a manifest, restarts them, and drains them.

    `on_change` is called after every change of any of them.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        host: str,
        target: ServerTarget,
        namespace: str,
        folder: MeshFolder,
        console: Console,
        clock: Clock,
        ids: Ids,
        spawner: Spawner,
    ) -> None:
        self.manifest = manifest
        self._folder = folder
        self._spawner = spawner
        self._console = console
        self._logs: dict[str, ProcessLog] = {}
        self._unwritten: set[str] = set()
        self._changed = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []
        self._draining = False
        self.keepers = [self._keeper(each, host, target, namespace, clock, ids) for each in plan(manifest, host)]

    @property
    def ready(self) -> bool:
        """Whether every process has registered all its instances."""
        return all(keeper.state == "ready" for keeper in self.keepers)

    @property
    def draining(self) -> bool:
        """Whether it lets go."""
        return self._draining

    @property
    def given_up(self) -> list[Keeper]:
        """The processes that are left down."""
        return [keeper for keeper in self.keepers if keeper.state == "given-up"]

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call this after every change."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Start every process. Returns at once."""
        self._console.expect(keeper.plan.token for keeper in self.keepers)
        for keeper in self.keepers:
            keeper.begin()

    async def until_ready(self, timeout: float) -> None:
        """Wait until every process is ready.

        Raises:
            NotReady: one was given up, or `timeout` seconds have passed.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self.ready:
                    if self.given_up:
                        raise NotReady(self.explain())
                    await self._change()
        except TimeoutError:
            raise NotReady(self.explain()) from None

    async def until_hopeless(self) -> None:
        """Wait until every process was given up."""
        while len(self.given_up) < len(self.keepers):
            await self._change()

    async def drain(self, grace: float) -> None:
        """Let every process finish and end, all at once; whoever takes longer than `grace` seconds is killed."""
        self._draining = True
        await asyncio.gather(*(keeper.drain(grace) for keeper in self.keepers))
        await self._spawner.close()
        for log in self._logs.values():
            log.close()

    def kill(self) -> None:
        """End every process now."""
        for keeper in self.keepers:
            keeper.kill()

    def explain(self) -> str:
        """Which processes are not ready, and why, for people."""
        late = [keeper for keeper in self.keepers if keeper.state != "ready"]
        return "; ".join(f"{keeper.plan.token} is {keeper.state}{_because(keeper)}" for keeper in late)

    # -- what keepers tell

    def _keeper(
        self,
        each: ProcessPlan,
        host: str,
        target: ServerTarget,
        namespace: str,
        clock: Clock,
        ids: Ids,
    ) -> Keeper:
        settings = self.manifest.host
        orders = Orders(
            token=each.token,
            host=host,
            namespace=namespace,
            target=target,
            kind=each.kind,
            use=each.use,
            folder=str(self.manifest.folder),
            instances=each.instances,
            versions=each.versions,
            capacity=each.capacity,
            labels=each.labels,
            limits=each.limits,
            repositories=self.manifest.repositories,
            grace=settings.grace,
            patience=settings.start_timeout * _PATIENCE,
            beat_every=min(1.0, settings.hung_after / 4),
        )
        return Keeper(
            each,
            orders,
            environment=environment_for(orders, each.environment),
            restarts=settings.restarts,
            random=ids.random,
            clock=clock,
            on_change=self._heard_change,
            on_line=self._heard_line,
            start_timeout=settings.start_timeout,
            hung_after=settings.hung_after,
            spawner=self._spawner,
        )

    def _heard_change(self, keeper: Keeper) -> None:
        if keeper.state == "given-up":
            self._tell(keeper, f"GIVEN UP: {keeper.reason}", loud=True)
        elif keeper.state in ("waiting", "ready", "starting") and not self._draining:
            self._tell(keeper, keeper.state + _because(keeper))
        self._changed.set()
        for watcher in self._watchers:
            watcher()

    def _tell(self, keeper: Keeper, text: str, *, loud: bool = False) -> None:
        self._console.say(f"mesh: {keeper.plan.token} {text}", loud=loud)
        self._keep_line(keeper, f"mesh: {text}".encode())

    def _heard_line(self, keeper: Keeper, text: bytes) -> None:
        self._console.line(keeper.plan.token, text.decode("utf-8", "replace"))
        self._keep_line(keeper, text)

    def _keep_line(self, keeper: Keeper, text: bytes) -> None:
        token = keeper.plan.token
        log = self._logs.setdefault(token, ProcessLog(self._folder.logs / f"{token}.log"))
        try:
            log.write(text)
            self._unwritten.discard(token)
        except OSError as error:
            if token not in self._unwritten:  # once, not with every line
                self._unwritten.add(token)
                self._console.say(f"mesh: {log.path} cannot be written: {error.strerror}", loud=True)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _because(keeper: Keeper) -> str:
    return f": {keeper.reason}" if keeper.reason else ""
