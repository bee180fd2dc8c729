"""`Watchman`: notices that a job is over whose end somebody wants to hear of, and hands the webhook to the courier.

The jobs handed in here are followed, up to a bound. Everything else is looked at from time to time: what is beyond the
bound, what was registered by a gateway that is gone, and what it had claimed. A job that has not changed costs one read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from mesh.gateway.webhooks.courier import Courier
from mesh.gateway.webhooks.hook import GATEWAYS, HOOKS, Webhook, concerns
from mesh.gateway.webhooks.lease import SECONDS
from mesh.gateway.webhooks.ledger import Entry, Ledger, entry_of
from mesh.jobs.intake.ingress import durable_of
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INGRESS
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.owning.seat import Seat
from mesh.protocols.errors import Conflict, MeshError, UnknownJob
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import KeyValue, Watch

FOLLOWED = 256
"""Jobs that are followed at the same time."""
SWEEP = 5.0
"""Seconds between two looks at the rest, a quarter more or less."""
LOOKS = 500
"""Jobs that one sweep looks at; the next one goes on where it ended."""
LOOKS_AT_ONCE = 16
SILENT = 4.0 * SECONDS
"""Seconds after which a gateway that is not heard of counts as dead, though its lease stands: it may come from a backup."""
STALE = 7 * 86400.0
"""Seconds after which a webhook is given up whose job is nowhere: its submission never got through."""

logger = logging.getLogger("mesh.gateway")


class Watchman:
    """Of one gateway. `follow` what was registered here; `start` before."""

    def __init__(self, seat: Seat, ledger: Ledger, courier: Courier, *, sweep: float = SWEEP) -> None:
        self._seat = seat
        self._journals = Journals(seat.store, seat.subjects)
        self._ledger = ledger
        self._courier = courier
        self._sweep_every = sweep
        self._entries: dict[str, Entry] = {}
        self._alive: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, int] = {}
        self._soon = asyncio.Event()
        self._next = 0
        self._watch: Watch | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Know every webhook and every living gateway, and look after them from now on."""
        self._watch = await (await self._ledger.bucket()).watch(self._heard)
        await self._watch.current
        self._soon.set()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(), name="webhook sweep")

    async def stop(self) -> None:
        """Notice nothing more. Again: nothing happens."""
        tasks = [*self._tasks, *([self._sweeper] if self._sweeper else [])]
        self._sweeper = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.close()

    def follow(self, entry: Entry) -> None:
        """Follow the job of a webhook that was registered here; beyond the bound, the sweep has the one followed longest."""
        hook = entry.hook
        if hook.id not in self._followed:
            if len(self._followed) >= FOLLOWED:
                self.unfollow(next(iter(self._followed)))
            task = asyncio.get_running_loop().create_task(self._follow(entry), name=f"webhook {hook.id}")
            self._followed[hook.id] = task
            task.add_done_callback(lambda _: self._followed.pop(hook.id, None))
            task.add_done_callback(self._tasks.discard)
            self._tasks.add(task)

    def unfollow(self, hook: str) -> None:
        """It was withdrawn. Again: nothing happens."""
        task = self._followed.pop(hook, None)
        if task is not None:
            task.cancel()

    # -- what is heard

    def _heard(self, change: KeyValue) -> None:
        if change.key.startswith(GATEWAYS):
            self._gateway_heard(change.key.removeprefix(GATEWAYS), alive=change.value is not None)
            return
        hook, entry = change.key.removeprefix(HOOKS), entry_of(change)
        if entry is None or entry.hook.over:
            self._entries.pop(hook, None)
            self._seen.pop(hook, None)
            return
        self._entries[hook] = entry
        if entry.hook.state == "waiting" and not entry.hook.watcher:
            self._seen.pop(hook, None)
            self._soon.set()

    def _gateway_heard(self, gateway: str, *, alive: bool) -> None:
        if alive:
            self._alive[gateway] = self._seat.clock.monotonic()
        elif self._alive.pop(gateway, None) is not None:
            self._seen.clear()
            self._soon.set()

    # -- what is followed

    async def _follow(self, entry: Entry) -> None:
        hook = entry.hook
        try:
            state = await JobHandle(self._seat, hook.job, tenant=hook.tenant).watch()
            await self._is_over(entry, state)
        except MeshError as error:
            logger.info("job %s could not be followed for its webhook, it is looked at later: %s", hook.job, error)

    # -- what is looked at

    async def _sweep(self) -> None:
        while True:
            await self._wait()
            turn = asyncio.Semaphore(LOOKS_AT_ONCE)
            await asyncio.gather(*(self._look(each, turn) for each in self._next_ones()))

    async def _wait(self) -> None:
        pause = self._sweep_every * self._seat.ids.random.uniform(0.75, 1.25)
        try:
            async with asyncio.timeout(pause):
                await self._soon.wait()
        except TimeoutError:
            pass
        self._soon.clear()

    def _next_ones(self) -> list[Entry]:
        due = list(self._unattended())
        if len(due) <= LOOKS:
            return due
        start = self._next % len(due)
        self._next = start + LOOKS
        return (due[start:] + due[:start])[:LOOKS]

    def _unattended(self) -> Iterator[Entry]:
        """Those that nobody else looks after."""
        late = self._seat.clock.monotonic() - SILENT
        others = {each for each, heard in self._alive.items() if heard > late} - {self._seat.incarnation}
        for entry in self._entries.values():
            hook = entry.hook
            attended = hook.holder in others if hook.state == "claimed" else hook.watcher in others
            if not attended and hook.id not in self._followed and self._courier.has_room(entry):
                yield entry

    async def _look(self, entry: Entry, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                state = await self._news(entry)
                if state is not None and state.terminal:
                    await self._is_over(entry, state)
            except MeshError as error:
                logger.info("job %s could not be looked at for its webhook: %s", entry.hook.job, error)
            except Exception:
                logger.exception("job %s could not be looked at for its webhook", entry.hook.job)

    async def _news(self, entry: Entry) -> JobState | None:
        """The job's state if it has changed since it was looked at; None too where there is no job yet."""
        hook = entry.hook
        last = await self._journals.last(hook.tenant, hook.job)
        if last is None:
            await self._give_up_if_stale(entry)
            return None
        if self._seen.get(hook.id) == last.sequence:
            return None
        try:
            state = await self._journals.state(hook.tenant, hook.job)
        except UnknownJob:
            return None
        if not state.terminal:
            self._seen[hook.id] = last.sequence
        return state

    async def _give_up_if_stale(self, entry: Entry) -> None:
        """The journal is read after the ingress: a job that is taken in meanwhile is in one of them."""
        hook = entry.hook
        if self._seat.clock.now() - hook.registered_at <= STALE or await self._may_wait(hook):
            return
        if await self._journals.last(hook.tenant, hook.job) is None:
            await self._courier.give_up(entry, "its job was never journaled")

    async def _may_wait(self, hook: Webhook) -> bool:
        """Whether something that its tenant handed in for its workflow waits in the ingress for a host, which may take for ever:
        its job may be among it."""
        store, stream = self._seat.store, self._seat.subjects.stream(INGRESS)
        last = await store.last(stream, self._seat.subjects.ingress(hook.tenant, hook.workflow))
        return last is not None and last.sequence > await store.handled(stream, durable_of(hook.workflow))

    # -- both

    async def _is_over(self, entry: Entry, state: JobState) -> None:
        """A webhook whose submission did not become this job is none of its business."""
        try:
            if concerns(entry.hook, state):
                await self._courier.take(entry, state)
            else:
                await self._ledger.remove(entry)
        except Conflict:
            logger.info("webhook %s was changed meanwhile", entry.hook.id)
