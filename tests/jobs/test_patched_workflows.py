"""`job.patched(…)`: changing a workflow that has jobs in flight."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import StepMisused
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


def old() -> Any:
    @workflow("w")
    async def flow(job: Job) -> list[Any]:
        async def line(name: str) -> Any:
            await job.step("begin", str, name)
            if name == "quick":
                await job.call("slow", key="pause")
            kind = await job.step("old", lambda: "old")
            await job.call("slow", key="wait")
            return kind

        parts = await job.gather(job.branch("early", line("early")), job.branch("quick", line("quick")))
        return [*parts, "end"]

    return flow


def new() -> Any:
    @workflow("w")
    async def flow(job: Job) -> list[Any]:
        async def line(name: str) -> Any:
            await job.step("begin", str, name)
            if name == "quick":
                await job.call("slow", key="pause")
            if job.patched("better"):
                kind = await job.step("new", lambda: "new")
            else:
                kind = await job.step("old", lambda: "old")
            await job.call("slow", key="wait")
            return kind

        parts = await job.gather(job.branch("early", line("early")), job.branch("quick", line("quick")))
        return [*parts, "end", job.patched("ending")]

    return flow


async def test_a_new_job_does_the_new_and_its_replay_does_too(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, slow=lambda _: clock.sleep(20))
    await world.host("a", new())
    handle = await world.submit_job("w")
    await clock.sleep(30)
    await world.crash("a")
    await world.host("b", new())
    assert await handle.result(200) == ["new", "new", "end", True]
    assert (await handle.state()).patches == {"early/better", "quick/better", "ending"}
    await world.close()


async def test_a_line_that_had_passed_does_the_old_and_what_comes_later_does_the_new(clock: Clock, ids: Ids) -> None:
    """Each branch is asked for itself: one of them had done the old when the code changed, the other had not come there."""
    world = World(clock, ids, slow=lambda _: clock.sleep(20))
    await world.host("a", old())
    handle = await world.submit_job("w")
    await clock.sleep(5)
    await world.crash("a")
    await world.host("b", new())
    await clock.sleep(25)
    await world.crash("b")
    await world.host("c", new())
    assert await handle.result(200) == ["old", "new", "end", True]
    assert (await handle.state()).patches == {"quick/better", "ending"}
    await world.close()


async def test_in_a_loop_the_first_answer_stays(clock: Clock, ids: Ids) -> None:
    def flow(patched: bool) -> Any:
        @workflow("loop")
        async def loop(job: Job) -> list[str]:
            kinds = []
            for number in range(4):
                kind = "new" if patched and job.patched("p") else "old"
                kinds.append(await job.step(f"{kind}-{number}", lambda kind=kind: kind))
                await job.call("slow", key=f"wait-{number}")
            return kinds

        return loop

    world = World(clock, ids, slow=lambda _: clock.sleep(10))
    await world.host("a", flow(patched=False))
    handle = await world.submit_job("loop")
    await clock.sleep(15)
    await world.crash("a")
    await world.host("b", flow(patched=True))
    await clock.sleep(12)
    await world.crash("b")
    await world.host("c", flow(patched=True))
    assert await handle.result(200) == ["old"] * 4
    assert not (await handle.state()).patches
    await world.close()


async def test_the_old_side_can_be_removed_once_no_job_needs_it(clock: Clock, ids: Ids) -> None:
    """A journal with a marker fits code that does not ask for it any more."""

    @workflow("w")
    async def removed(job: Job) -> list[Any]:
        async def line(name: str) -> Any:
            await job.step("begin", str, name)
            if name == "quick":
                await job.call("slow", key="pause")
            kind = await job.step("new", lambda: "new")
            await job.call("slow", key="wait")
            return kind

        parts = await job.gather(job.branch("early", line("early")), job.branch("quick", line("quick")))
        return [*parts, "end"]

    world = World(clock, ids, slow=lambda _: clock.sleep(20))
    await world.host("a", new())
    handle = await world.submit_job("w")
    await clock.sleep(30)
    await world.crash("a")
    await world.host("b", removed)
    assert await handle.result(200) == ["new", "new", "end"]
    await world.close()


async def test_a_patch_has_a_name_that_can_be_journaled(clock: Clock, ids: Ids) -> None:
    @workflow("w")
    async def flow(job: Job) -> bool:
        return job.patched("a/b")

    world = World(clock, ids)
    await world.host("a", flow)
    with pytest.raises(StepMisused, match="a/b"):
        await (await world.submit_job("w")).result(100)
    await world.close()
