"""`Fleet`: the workers of one scenario, the jobs that were handed to them, and the targets of their effects."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from mesh.client.mesh import Mesh
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.errors import MeshError, Transient
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.submission import Terms, headers_of, job_id_for_key
from tests.chaos import worker
from tests.chaos.doom import Doom
from tests.chaos.plans import BLIND, LEDGER, Act
from tests.chaos.raising import raised_again
from tests.effect_target import EffectTarget
from tests.faults.crew import Crew
from tests.faults.expectations import soon

multiprocessing.get_context("forkserver").set_forkserver_preload(
    ["tests.faults.member", "tests.chaos.worker", "tests.chaos.station"]
)

HAND_IN_WITHIN = 60.0


class Handed(msgspec.Struct, frozen=True):
    """A job whose submission was acknowledged, and what it must come to."""

    job: str
    result: list[str]


class Fleet(Crew):
    """A crew of workers, with what the checker asks about afterwards."""

    terms = worker.Terms
    entry = staticmethod(worker.forked)

    def __init__(self, url: str, folder: Path, chance: random.Random) -> None:
        super().__init__(url, folder)
        self.chance = chance
        self.doom = Doom(folder)
        self.handed: list[Handed] = []
        self.ledger = EffectTarget(folder / LEDGER)
        self.blind = EffectTarget(folder / BLIND, honours_keys=False)
        self._known: dict[str, dict[str, Any]] = {}

    def launch(self, name: str, *, source: Path | None = None, **terms: Any) -> None:
        """Start a process; one that is started again under its name keeps its terms."""
        whole = {**self._known.get(name, {}), **terms}
        self._known[name] = whole
        super().launch(name, source=source, **({"seed": self.chance.randrange(2**32)} | whole))

    async def hand_in(
        self,
        mesh: Mesh,
        acts: Sequence[Act],
        *,
        workflow: str = "chain",
        result: Sequence[str] | None = None,
        **terms: Any,
    ) -> JobHandle:
        """Submit a job until that is acknowledged: under its key, as often as it takes. `result`: the acts' keys, if not given."""
        terms = {"key": f"job-{len(self.handed)}-{self.chance.randrange(2**32):x}", **terms}
        async with asyncio.timeout(HAND_IN_WITHIN):
            while True:
                try:
                    handle = await mesh.submit(workflow, list(acts), timeout=10, **terms)
                    break
                except Transient:
                    await asyncio.sleep(0.05)
        self.handed.append(Handed(handle.id, [each.key for each in acts] if result is None else list(result)))
        return handle

    async def hand_in_all(
        self, mesh: Mesh, jobs: int, acts: Sequence[Act], *, at_once: int = 16, **terms: Any
    ) -> list[JobHandle]:
        """So many jobs of the same acts, some at once."""
        room = asyncio.Semaphore(at_once)

        async def one() -> JobHandle:
            async with room:
                return await self.hand_in(mesh, acts, **terms)

        return list(await asyncio.gather(*(one() for _ in range(jobs))))

    async def publish(self, mesh: Mesh, jobs: int, acts: Sequence[Act], *, tenant: str) -> list[str]:
        """So many jobs of `chain`, written into the ingress stream, where they wait for somebody to take them in; their ids."""
        subject, body, published = mesh.peer.subjects.ingress(tenant, "chain"), msgspec.json.encode(acts), list[str]()
        for number in range(jobs):
            key = f"published-{len(self.handed)}-{number}"
            await soon(lambda key=key: mesh.peer.store.append(subject, body, headers=headers_of(Terms(key=key))))  # type: ignore[misc]
            published.append(job_id_for_key(tenant, key))
        self.handed += [Handed(job, [each.key for each in acts]) for job in published]
        return published

    def raised_again(self, *names: str) -> AbstractAsyncContextManager[None]:
        """While this runs, whoever of them dies is started again, as a host does."""
        return raised_again(names, self.alive, self.launch)

    async def stop(self, name: str) -> None:
        """SIGTERM: it drains, and ends by itself, well."""
        self.signal(name, signal.SIGTERM)
        status = await self.ended(name)
        assert status == 0, f"{name} ended with {status}:\n{self.log(name)[-3000:]}"

    def kill(self, name: str) -> None:
        """`kill -9`, and write it down."""
        self.doom.died(name)
        super().kill(name)

    def living(self, *names: str) -> list[str]:
        """Those of them that run, in their order."""
        return [name for name in names if self.alive(name)]

    def refused(self, *names: str, point: str = "", since: float = 0.0) -> list[str]:
        """Appends of these processes that were refused because somebody else had written; those with that event only."""
        found = []
        for name in names:
            for line in (self.folder / f"{name}.refused").read_text().splitlines():
                at, subject, points = line.split(" ")
                if float(at) >= since and (not point or point in points.split(",")):
                    found.append(subject)
        return found

    @property
    def names(self) -> list[str]:
        """Everybody who was ever started."""
        return list(self._known)

    def lapsed(self, *names: str) -> list[str]:
        """Those that have lost their lease, as happens where the machine stands still: others have done their work again."""
        return [name for name in names if "the lease is lost" in self.log(name)]

    async def over(self, mesh: Mesh, *, within: float) -> None:
        """Until every job that was handed in has ended."""
        journals = Journals(mesh.peer.store, mesh.peer.subjects)
        wanted = {each.job for each in self.handed}
        loop = asyncio.get_running_loop()
        end, left, took = loop.time() + within, wanted, 0.0
        while left:
            assert loop.time() < end, self._unfinished(left, within)
            await asyncio.sleep(max(0.05, 5 * took))
            began = loop.time()
            try:
                heads = await journals.heads()
            except MeshError:
                continue
            took = loop.time() - began
            left = wanted - {each.entry.job for each in heads if each.entry.head.state in TERMINAL}

    def _unfinished(self, left: set[str], within: float) -> str:
        logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self._known)
        return f"{len(left)} of {len(self.handed)} jobs have not ended within {within:g} s: {sorted(left)[:5]}\n{logs}"
