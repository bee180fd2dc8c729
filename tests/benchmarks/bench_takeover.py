"""How long a job stands still when something dies under it: its owner's process, or the server.

Three processes host the same workflow, whose steps say when they run. One of them is killed (`kill -9`), and what counts is
the time until the next step of each of its jobs runs in another process: the death is noticed, the journal is read, the job
is claimed and replayed. Then the server is killed and started again at once, until every job has run further steps; the
server's own start is in that time. The journals of jobs that are over are in the way, as they are in life.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from statistics import median, quantiles
from typing import NamedTuple

from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.ports import Message
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.rows import Row, Target

HOSTS = 3
JOBS = 9
OVER = 1000
"""Jobs that were done before."""
TICK = 0.02
TICKS = 50
WITHIN = 20.0
SAID = "bench.ticks"
OWNER = Target(name="`kill -9` of the owner to the next step elsewhere, p99", floor=250, unit="ms")
SERVER = Target(name="`kill -9` of the server, restarted, to all jobs moving again", floor=1000, unit="ms")


async def main(url: str) -> AsyncIterator[str]:
    """A process that hosts the workflow, and says of each step that it runs."""
    async with Mesh.connect(url, name="hosts") as here:

        async def tick(job: str) -> None:
            here.peer.bus.publish(SAID, f"{job} {here.process}".encode())
            await asyncio.sleep(TICK)

        @workflow("ticking")
        async def ticking(job: Job, ticks: int) -> None:
            for number in range(ticks):
                await job.step(str(number), tick, job.id)

        await here.host_workflow(ticking)
        yield ""
        yield here.process


class Tick(NamedTuple):
    """A step ran."""

    process: str
    at: float


class Ticks:
    """Every step that ran, by job."""

    def __init__(self) -> None:
        self.of: dict[str, list[Tick]] = defaultdict(list)

    def heard(self, message: Message) -> None:
        """One more."""
        job, process = message.data.decode().split()
        self.of[job].append(Tick(process, time.perf_counter()))

    def first(self, job: str, after: float, *, elsewhere: str = "") -> float | None:
        """When the job ran the first step after that moment, in another process than `elsewhere`."""
        return next((each.at for each in self.of[job] if each.at > after and each.process != elsewhere), None)


class Scene:
    """The hosts, and the jobs that run on them."""

    def __init__(self, ground: Ground, here: Mesh) -> None:
        self.ticks = Ticks()
        self._ground = ground
        self._here = here
        self._hosts: dict[str, Other] = {}

    async def set_up(self, over: int) -> None:
        """All hosts are there, and so many jobs are over."""
        await self._here.peer.bus.subscribe(SAID, self.ticks.heard)
        await self._fill()
        done = await asyncio.gather(*(self._here.submit("ticking", 0) for _ in range(over)))
        await asyncio.gather(*(each.result(WITHIN) for each in done))

    async def owner_killed(self) -> list[float]:
        """Kill who has most of the jobs: seconds until each of them went on elsewhere."""
        jobs = await self._begun()
        owners = {job.id: self.ticks.of[job.id][-1].process for job in jobs}
        victim = max(self._hosts, key=list(owners.values()).count)
        orphans = [job for job, owner in owners.items() if owner == victim]
        killed = time.perf_counter()
        self._hosts.pop(victim).kill()
        await there(lambda: all(self.ticks.first(job, killed, elsewhere=victim) for job in orphans), WITHIN)
        found = [(self.ticks.first(job, killed, elsewhere=victim) or 0.0) - killed for job in orphans]
        await self._fill()
        await self._ended(jobs)
        return found

    async def server_killed(self) -> float:
        """Seconds until every job has run further: two steps, since word of one may have waited for the server."""
        jobs = await self._begun()
        killed = time.perf_counter()
        await self._ground.crash_server()
        back = time.perf_counter()

        def moving(job: str) -> float | None:
            once = self.ticks.first(job, back)
            return self.ticks.first(job, once) if once else None

        await there(lambda: all(moving(job.id) for job in jobs), WITHIN)
        slowest = max(moving(job.id) or 0.0 for job in jobs)
        await self._ended(jobs)
        return slowest - killed

    async def _fill(self) -> None:
        while len(self._hosts) < HOSTS:
            host = await self._ground.other("bench_takeover")
            self._hosts[await host.say("who")] = host
        await there(
            lambda: {each.process for each in self._here.directory.lookup("workflow.ticking")} == set(self._hosts)
        )

    async def _begun(self) -> list[JobHandle]:
        jobs = await asyncio.gather(*(self._here.submit("ticking", TICKS) for _ in range(JOBS)))
        await there(lambda: all(self.ticks.of[job.id] for job in jobs), WITHIN)
        return jobs

    async def _ended(self, jobs: list[JobHandle]) -> None:
        await asyncio.gather(*(job.result(WITHIN) for job in jobs))


async def bench(ground: Ground) -> list[Row]:
    """Kill owners, then the server."""
    async with Mesh.connect(ground.url, name="witness") as here:
        scene = Scene(ground, here)
        await scene.set_up(ground.pick(64, OVER))
        owners = [each for _ in range(ground.pick(1, 14)) for each in await scene.owner_killed()]
        servers = [await scene.server_killed() for _ in range(ground.pick(1, 4))]
    return [_percentile(OWNER, owners), _worst(SERVER, servers)]


def _percentile(target: Target, seconds: list[float]) -> Row:
    """The 99th percentile of so many jobs; with few of them that is about the worst."""
    times = sorted(each * 1e3 for each in seconds)
    p99 = quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]
    return Row(
        target=target, figure=p99, least=times[0], most=times[-1], rounds=len(times),
        about=f"p50 {median(times):.0f} ms, the worst {times[-1]:.0f} ms of {len(times)} jobs that changed hands",
    )  # fmt: skip


def _worst(target: Target, seconds: list[float]) -> Row:
    times = sorted(each * 1e3 for each in seconds)
    return Row(
        target=target, figure=times[-1], least=times[0], most=times[-1], rounds=len(times),
        about=f"the worst of {len(times)}; the server's own start included",
    )  # fmt: skip
