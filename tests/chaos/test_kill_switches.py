"""An operator kills what thousands are calling."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import pytest

from mesh.cli.exits import Exit
from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.books import running
from tests.chaos.callers import Tallied, fresh
from tests.chaos.crowd import Crowd
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, passes, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

TARGETS = ("target", "other-target")
CALLERS = 400
PATIENCE = 60.0
SWITCHES = (("capability", "target.do"), ("agent", "target"), ("capability", "target.*"), ("tenant", "default"))
COMMAND = "import sys; from mesh.cli.main import main; main()"


async def test_29_a_kill_switch_in_a_storm(chaos: Scenario, server: RealServer, crowd: Crowd, mesh: Mesh) -> None:
    """`mesh kill` while thousands of calls run · once it is acknowledged nothing new is begun anywhere, callers are told, `mesh allow` brings it back"""
    callers = [f"caller-{number}" for number in range(chaos.pick(2, 4))]
    await crowd.start(*TARGETS, capacity=16, mailbox=512)
    await crowd.start(*callers, roles=("caller",), tenant="acme")
    await listed(mesh, *TARGETS, agent="target")
    for name in TARGETS:
        crowd.mood(name, "slow")
    terms = {"target": "target.do", "callers": CALLERS // len(callers), "timeout": 5.0, "pause": 0.5}
    for each in callers:
        await soon(lambda each=each: mesh.ask(f"caller.{each}", terms, command="begin"))
    took: list[float] = []
    told = 0
    for what, name in SWITCHES[: chaos.pick(1, 3)] * chaos.pick(1, 2):
        await _codes(mesh, callers, {"ok"})
        began = time.time()
        async with asyncio.timeout(PATIENCE):
            while not await _mesh(server, "kill", what, name, "--reason", "chaos"):
                pass
        acknowledged = time.time()
        took.append(acknowledged - began)
        told += (await _codes(mesh, callers, {"killed"}, only=True)).codes["killed"]
        await until(lambda: all(running(crowd.books(each).read()) == 0 for each in TARGETS), timeout=PATIENCE)
        late = [
            line for each in TARGETS for line in crowd.books(each).read("do", since=acknowledged) if line.sign == "+"
        ]
        assert late == [], f"begun up to {max(line.at for line in late) - acknowledged:.3f} s after the acknowledgement"
        assert {state for each in callers for state in await mesh.ask(f"caller.{each}", command="breakers")} == {
            "closed"
        }
        await _mesh(server, "allow", what, name)
        await _codes(mesh, callers, {"ok"}, only=True)
    await asyncio.gather(*(mesh.ask(f"caller.{each}", command="end") for each in callers))
    assert not crowd.mishaps(*TARGETS, *callers)
    done = f"{len(took)} switches under {CALLERS} callers in {len(callers)} processes"
    chaos.note(done, f"nothing was begun after; {told} were told", f"acknowledged: {spread(took)}")


async def _mesh(server: RealServer, *arguments: str) -> bool:
    """The command line decides something; whether all have confirmed that within its second. It holds in any case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *arguments,
        env={**os.environ, "NATS_URL": server.url}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    silent = process.returncode == Exit.TIMED_OUT and b"not confirmed by" in said
    assert process.returncode == 0 or silent, f"mesh {' '.join(arguments)}: {said.decode()}"
    return not silent


async def _codes(mesh: Mesh, callers: Sequence[str], codes: set[str], *, only: bool = False) -> Tallied:
    """Until calls end in these ways; `only`: in no other way any more."""
    return await passes(
        lambda: fresh(mesh, callers, PATIENCE),
        lambda found: codes == set(found.codes) if only else codes <= set(found.codes),
        within=PATIENCE,
        every=0.3,
    )
