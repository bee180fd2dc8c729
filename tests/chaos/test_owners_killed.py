"""Owners die by SIGKILL: between steps, around an effect, in the middle of a claim, and over and over."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.job_events import StepSucceeded
from mesh.testing.virtual_time import until
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act, acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two", "three")


async def test_01_the_owner_is_killed_between_steps(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 the owner right after a step's result is stored · no step that has ended is run again"""
    kills = chaos.pick(3, 60)
    await fleet.start(*OWNERS)
    async with fleet.raised_again(*OWNERS):
        loading = asyncio.ensure_future(fleet.hand_in_all(mesh, chaos.pick(20, 600), acts(4, ms=40), at_once=12))
        for _ in range(kills):
            fleet.doom.write("after step.succeeded")
            await until(lambda: fleet.doom.left() == 0 or loading.done(), timeout=60)
            await asyncio.sleep(chaos.chance.uniform(0.1, 0.5))
        fleet.doom.withdraw()
        await loading
        await fleet.over(mesh, within=150)
    evidence = await chaos.conclude(
        fleet, server.url, f"{len(fleet.doom.deaths)} owners killed", "no ended step ran again"
    )
    assert asked_after_the_end(fleet, evidence) == [] or fleet.lapsed(*OWNERS)


@pytest.mark.parametrize("point", ["before effect", "after effect"], ids=["02", "03"])
async def test_around_the_effect(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh, point: str) -> None:
    """kill -9 the owner after step.started, on one side of the effect · each effect class does what it says"""
    chaos.number = 2 if point == "before effect" else 3
    chaos.fault = (
        f"kill -9 after step.started, {'before the effect' if chaos.number == 2 else 'after it, before the result'}"
    )
    rounds = chaos.pick(1, 10)
    await fleet.start(*OWNERS)
    found: Counter[tuple[str, str, int]] = Counter()
    async with fleet.raised_again(*OWNERS):
        for _ in range(rounds):
            for effect in ("pure", "idempotent", "costly", "at_most_once"):
                fleet.doom.write(point)
                job = await fleet.hand_in(mesh, [Act(key=effect, effect=effect)])
                await until(lambda: fleet.doom.left() == 0, timeout=60)
                status = await _decided(job, "succeeded" if point == "after effect" else "failed")
                target = fleet.blind if effect == "at_most_once" else fleet.ledger
                found[effect, status, target.asked(f"{job.id}/{effect}")] += 1
    done = point == "after effect"
    assert found == {
        ("pure", "completed", 1 + done): rounds,
        ("idempotent", "completed", 1 + done): rounds,
        ("costly", "completed", 1 + done): rounds,
        ("at_most_once", "in doubt, then completed" if done else "in doubt, then failed", int(done)): rounds,
    }
    await chaos.conclude(
        fleet,
        server.url,
        f"{4 * rounds} owners killed",
        "re-run, or in doubt, as declared",
        states=("completed", "failed"),
    )


async def test_04_the_successor_is_killed_in_the_middle_of_its_claim(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 five successors, one after the other, in the middle of their claims · the sixth goes on where the first was"""
    await fleet.start(*OWNERS)
    async with fleet.raised_again(*OWNERS):
        for number in range(chaos.pick(1, 12)):
            job = await fleet.hand_in(mesh, [Act(key="first"), Act(key="second", hold=f"{number}"), Act(key="third")])
            await until(lambda job=job: fleet.ledger.asked(f"{job.id}/second") == 1)
            side = chaos.chance.choice(["before", "after"])
            fleet.doom.write("before owner.claimed", 5 if side == "before" else 2)
            fleet.doom.write("after owner.claimed", 0 if side == "before" else 3)
            owner = (await job.state()).head.owner  # type: ignore[union-attr]
            fleet.kill(owner)
            await until(lambda: fleet.doom.left() == 0, timeout=120)
            fleet.let(f"{number}")
            assert (await job.watch(timeout=60)).status == "completed"
            assert fleet.ledger.asked(f"{job.id}/first") == 1
    await chaos.conclude(
        fleet, server.url, f"{len(fleet.doom.deaths)} owners killed", "each step done, the first only once"
    )


async def _decided(job: JobHandle, how: Literal["succeeded", "failed"]) -> str:
    """What the job comes to; if it is parked in doubt, a person says what has become of its step."""
    state = await job.watch(until=lambda state: state.status == "parked", timeout=60)
    if state.status != "parked":
        return state.status
    (wait,) = (each.opened for each in state.open_waits)
    await job.resolve(wait.key, how, "at_most_once", by="somebody", reason="looked at the target", timeout=60)
    return f"in doubt, then {(await job.watch(timeout=60)).status}"


def asked_after_the_end(fleet: Fleet, evidence: Evidence) -> list[str]:
    """Steps that were begun although their result was stored already."""
    ended: dict[str, float] = {}
    for job, records in evidence.journals.items():
        for record in records:
            for event in record.entry.events:
                if isinstance(event, StepSucceeded):
                    ended[f"{job}/{event.key}"] = record.time
    return [each.key for each in fleet.ledger.requests() if each.at > ended.get(each.key, float("inf")) + 0.001]
