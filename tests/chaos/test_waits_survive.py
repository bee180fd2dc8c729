"""Jobs that wait, and what is said to them: over the death of everything, and against one another."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.outside.control import Verdict
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.job_events import CancelRequested, WaitResolved
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act
from tests.chaos.scenario import Scenario
from tests.faults.expectations import soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two")
PLAN = [Act(key="first"), Act(key="second", ms=300)]


async def test_15_an_approval_is_pending_while_everything_restarts(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 of all while approvals are pending; duplicate and conflicting answers · the first valid one counts, once"""
    await fleet.start(*OWNERS)
    jobs = await fleet.hand_in_all(mesh, chaos.pick(6, 100), PLAN, workflow="gate")
    digests = dict(await asyncio.gather(*(_waiting(job) for job in jobs)))
    for name in OWNERS:
        fleet.kill(name)
    server.kill()
    await asyncio.to_thread(server.start)
    said = [asyncio.ensure_future(_answer(chaos, job, digests[job.id])) for job in jobs]
    await asyncio.sleep(chaos.chance.uniform(0, 1))
    await fleet.start(*OWNERS)
    async with fleet.raised_again(*OWNERS):
        for _ in range(chaos.pick(1, 10)):
            await asyncio.sleep(chaos.chance.uniform(0, 0.5))
            fleet.kill(chaos.chance.choice(fleet.living(*OWNERS) or ["one"]))
        await fleet.over(mesh, within=150)
        verdicts = await asyncio.gather(*said)
    evidence = await chaos.conclude(
        fleet, server.url, f"{len(jobs)} approvals, 5 answers each", "one answer each", states=("completed", "failed")
    )
    for job, told in zip(jobs, verdicts, strict=True):
        events = [event for record in evidence.journals[job.id] for event in record.entry.events]
        answers = [event for event in events if isinstance(event, WaitResolved) and event.how in ("approved", "denied")]
        assert len(answers) == 1, answers
        taken = [how for how, verdict in told if verdict.taken]
        assert taken == [answers[0].how], (taken, answers)
        went_on = answers[0].how == "approved"
        assert (await job.state()).status == ("completed" if went_on else "failed")
        assert fleet.ledger.count(f"{job.id}/second") == int(went_on)


async def test_16_a_cancel_races_completion(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """cancel while the last step ends · a job is completed or cancelled, as whoever cancelled it is told"""
    await fleet.start(*OWNERS)
    found: Counter[tuple[str, bool]] = Counter()

    async def race() -> None:
        job = await fleet.hand_in(mesh, [Act(key="first", ms=20), Act(key="second", ms=20)])
        await asyncio.sleep(chaos.chance.uniform(0, 0.09))
        verdict = await soon(lambda: job.cancel(by="somebody", key=job.id, timeout=60), 120)
        state = await job.watch(timeout=60)
        found[state.status, verdict.taken] += 1

    for _ in range(chaos.pick(6, 50)):
        await asyncio.gather(*(race() for _ in range(8)))
    evidence = await chaos.conclude(
        fleet, server.url, f"{found.total()} cancels", f"{dict(found)}", states=("completed", "cancelled")
    )
    assert set(found) <= {("completed", False), ("cancelled", True)}, found
    for records in evidence.journals.values():
        asked = sum(isinstance(event, CancelRequested) for record in records for event in record.entry.events)
        assert asked == (records[-1].entry.head.state == "cancelled")


async def _waiting(job: JobHandle) -> tuple[str, str]:
    """The job and the digest of what it asks, once nobody holds it any more."""
    state = await job.watch(until=lambda state: state.status == "waiting", timeout=60)
    (wait,) = (each for each in state.waits.values() if each.opened.kind == "approval")
    return job.id, wait.opened.digest


async def _answer(chaos: Scenario, job: JobHandle, digest: str) -> list[tuple[str, Verdict]]:
    """Three say yes, two say no, one of them to something else, all at once."""
    answers = [("approved", digest)] * 3 + [("denied", digest), ("denied", "sha256:another")]
    chaos.chance.shuffle(answers)
    told = await asyncio.gather(
        *(_say(job, how, of, f"person-{number}") for number, (how, of) in enumerate(answers)),
    )
    return [(how, verdict) for (how, _), verdict in zip(answers, told, strict=True)]


async def _say(job: JobHandle, how: str, digest: str, by: str) -> Verdict:
    say = job.approve if how == "approved" else job.deny
    state = await soon(job.state, 60)
    (key,) = (each.opened.key for each in state.waits.values() if each.opened.kind == "approval")
    return await soon(lambda: say(key, digest=digest, by=by, timeout=60), 90)  # type: ignore[no-any-return]
