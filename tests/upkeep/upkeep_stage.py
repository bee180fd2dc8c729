"""What the tests of sweeping and erasing share: a world with a host, jobs that end, and days that pass."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mesh import Job, workflow
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.ports import Clock, Ids, Objects
from mesh.testing.virtual_time import VirtualClock
from mesh.upkeep.archive_folder import ArchiveFolder
from mesh.upkeep.archiving import Archiving
from mesh.upkeep.policy import DAY, Retention
from tests.jobs.job_stage import World


async def for_ever() -> None:
    await asyncio.Event().wait()


@workflow("echo")
async def echo(job: Job, given: str) -> str:
    if given == "wait":
        await job.step("for ever", for_ever)
    return await job.step("again", str, given)


class Place(World):
    """A world with one host of `echo`, and a folder of archives."""

    def __init__(self, clock: Clock, ids: Ids, folder: Path) -> None:
        super().__init__(clock, ids)
        self.folder = ArchiveFolder(folder)

    async def done(self, given: str, tenant: str = "default") -> JobHandle:
        handle = await self.submit_job("echo", given, tenant=tenant)
        await handle.result(60)
        return handle

    async def objects(self) -> Objects:
        return await Values(self.client.store, self.client.subjects, self.clock).objects()

    async def digests(self) -> set[str]:
        return {each.digest for each in await (await self.objects()).all()}

    async def archive(self) -> None:
        client = self.client
        await Archiving(client.store, client.subjects, client.clock, client.ids, self.folder, Retention(days=1)).run()

    async def later(self, days: float) -> None:
        """The server's clock, and everybody's, says so."""
        assert isinstance(self.clock, VirtualClock)
        self.clock.shift(days * DAY)
