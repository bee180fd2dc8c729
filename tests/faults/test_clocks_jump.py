"""The wall clock of a process is wrong, or jumps while it works.

Faults: clocks ten minutes ahead and ten minutes behind, of agents, of a job's owner and of a caller; a jump by ten minutes either
way in the middle of asks, leases and jobs. Nothing that is measured in seconds may notice.
"""

from __future__ import annotations

import asyncio
import signal

import pytest

from mesh.client.mesh import Mesh
from mesh.clock import SystemIds
from mesh.protocols.errors import DeadlineExceeded
from tests.faults.crew import Crew
from tests.faults.expectations import elapsed_since, listed, reached
from tests.faults.member import ShiftedClock
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

TEN_MINUTES = 600.0
LONGER_THAN_A_LEASE = 3.3


async def test_who_has_a_wrong_clock_keeps_its_lease_serves_and_does_jobs(crew: Crew, mesh: Mesh) -> None:
    for name, shift in (("behind", -TEN_MINUTES), ("ahead", TEN_MINUTES)):
        await crew.start(name, shift=shift, agents=("worker", "foreman"), capacity=8, workflow=True)
    await listed(mesh, "ahead", "behind")
    gone: list[str] = []
    mesh.directory.on_change(lambda change: gone.append(change.process) if change.kind == "process-down" else None)
    jobs = [await mesh.submit("walk", ["job"], deadline=60) for _ in range(4)]
    asks = [mesh.ask(f"foreman.{name}", "ask", command="ask", timeout=50) for name in ("behind", "ahead")]
    calls = [mesh.ask(f"foreman.{name}", "call", command="subcontract", timeout=50) for name in ("behind", "ahead")]
    under_way = asyncio.gather(*asks, *calls)
    await asyncio.gather(crew.did("begun-job", 4), crew.did("begun-ask", 2), crew.did("begun-call", 2))
    await mesh.peer.clock.sleep(LONGER_THAN_A_LEASE)
    crew.let("job", "ask", "call")
    assert {*await under_way, *[(await job.result(40))[1] for job in jobs]} <= {"ahead", "behind"}
    assert gone == []
    for name in ("ahead", "behind"):
        assert await mesh.ask(f"worker.{name}", "x", command="echo", timeout=20) == [name, "x"]


async def test_a_clock_that_jumps_in_the_middle_ends_nothing(crew: Crew, mesh: Mesh) -> None:
    await crew.start("ahead", jump=TEN_MINUTES, capacity=2, workflow=True)
    await crew.start("behind", jump=-TEN_MINUTES, capacity=2)
    await listed(mesh, "ahead", "behind")
    job = await mesh.submit("walk", ["first", "second"], deadline=60)
    asks = [
        asyncio.ensure_future(mesh.ask(f"worker.{name}", "ask", command="hold", timeout=40))
        for name in ("ahead", "behind")
    ]
    await asyncio.gather(crew.did("begun-ask", 2), crew.did("begun-first"))
    for name in ("ahead", "behind"):
        crew.signal(name, signal.SIGUSR1)
    crew.let("first")
    await crew.did("begun-second")
    for name in ("ahead", "behind"):
        crew.signal(name, signal.SIGUSR1)
    crew.let("ask", "second")
    assert await asyncio.gather(*asks) == ["ahead", "behind"]
    assert len(await job.result(40)) == 3
    await listed(mesh, "ahead", "behind")


@pytest.mark.parametrize("shift", [-TEN_MINUTES, TEN_MINUTES], ids=["behind", "ahead"])
async def test_deadlines_are_as_long_as_they_say_whatever_the_clock_of_an_owner_says(
    crew: Crew, mesh: Mesh, shift: float
) -> None:
    await crew.start("one", shift=shift, workflow=True)
    await listed(mesh, "one")
    elapsed = elapsed_since(mesh)
    job = await mesh.submit("walk", ["held"], deadline=1.5)
    with pytest.raises(DeadlineExceeded):
        await job.result(45)
    assert 1.4 < elapsed() < 40


@pytest.mark.parametrize("shift", [-TEN_MINUTES, TEN_MINUTES], ids=["behind", "ahead"])
async def test_a_caller_with_a_wrong_clock_gets_its_answers_and_its_deadlines(
    server: RealServer, crew: Crew, shift: float
) -> None:
    await crew.start("one", workflow=True)
    clock = ShiftedClock(shift)
    ids = SystemIds(clock)
    crew.let("job")
    async with (
        await reached(server.url, clock=clock, ids=ids) as connection,
        Mesh.over(connection, process="caller", clock=clock, ids=ids) as caller,
    ):
        await listed(caller, "one")
        assert await caller.ask("work.echo", "x", timeout=20) == ["one", "x"]
        assert await caller.call("work.echo", "x", mode="broadcast", timeout=20) == ["one", "x"]
        assert await (await caller.submit("walk", ["job"], deadline=40)).result(40) == ["one", "one"]
        elapsed = elapsed_since(caller)
        with pytest.raises(DeadlineExceeded):
            await caller.ask("worker", "never", command="hold", timeout=0.5)
        assert 0.5 <= elapsed() < 40
