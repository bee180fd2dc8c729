"""A local step whose effect must happen once: its key is within reach, and a crash in the middle does not do it twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from job_stage import World

import mesh
from mesh.actors.keeping.keeping import Keeping
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import until
from tests.effect_target import EffectTarget

pytestmark = pytest.mark.virtual


async def test_the_key_of_a_step_is_the_same_in_every_attempt_and_in_its_thread(clock: Clock, ids: Ids) -> None:
    def in_a_thread() -> str:
        return mesh.effect_key("charge")

    @workflow("keys")
    async def keys(job: Job) -> list[str]:
        return [await job.step("first", in_a_thread), await job.step("second", mesh.effect_key)]

    world = World(clock, ids)
    await world.host("p", keys)
    handle = await world.submit_job("keys")
    assert await handle.result(60) == [f"{handle.id}/first/charge", f"{handle.id}/second"]
    await world.close()


async def lose_the_owner(world: World, target: EffectTarget, effect: Any) -> JobHandle:
    """A job whose owner was lost after its step had had an effect, and before anybody knew of it; another one goes on."""
    hang = asyncio.Event()

    async def charge(key: str) -> str:
        took = target.ask(key)
        if target.asked(key) == 1:
            await hang.wait()
        return f"charged {took}"

    async def pay() -> str:
        return await mesh.effects().once(mesh.effect_key("charge"), charge, effect=effect)

    @workflow("pay")
    async def paying(job: Job) -> str:
        return await job.step("pay", pay, effect="idempotent")

    await world.host("one", paying)
    handle = await world.submit_job("pay")
    await until(lambda: target.most == 1)
    await world.crash("one")
    await world.host("two", paying)
    return handle


async def test_a_target_that_honours_keys_is_called_again_by_the_next_owner_and_does_nothing(
    clock: Clock, ids: Ids, tmp_path: Path
) -> None:
    world, target = World(clock, ids), EffectTarget(tmp_path / "ledger")
    handle = await lose_the_owner(world, target, "idempotent")
    assert await handle.result(60) == "charged False"
    key = f"{handle.id}/pay/charge"
    assert (target.count(key), target.asked(key)) == (1, 2)
    await world.close()


async def test_any_other_is_not_called_again_until_a_person_has_looked(clock: Clock, ids: Ids, tmp_path: Path) -> None:
    world, target = World(clock, ids), EffectTarget(tmp_path / "ledger", honours_keys=False)
    handle = await lose_the_owner(world, target, "at_most_once")
    state = await handle.watch(until=lambda state: state.status == "parked", timeout=60)
    assert state.steps["pay"].state == "in_doubt"
    client = world.client
    effects = Keeping(client.store, client.subjects, clock, ids, "a person's").effects.of("jobs")
    await effects.resolve(f"{handle.id}/pay/charge", "charged, says the bank")
    await handle.resolve("pay", "retry", by="Ada")
    assert await handle.result(60) == "charged, says the bank"
    assert target.asked(f"{handle.id}/pay/charge") == 1
    await world.close()


async def test_a_step_that_was_done_and_not_journaled_gets_its_outcome_back(clock: Clock, ids: Ids) -> None:
    calls: list[str] = []
    stuck = asyncio.Event()

    async def pay() -> str:
        paid = await mesh.effects().once(mesh.effect_key(), lambda key: calls.append(key) or f"receipt {len(calls)}")
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return paid

    @workflow("pay")
    async def paying(job: Job) -> str:
        return await job.step("pay", pay, effect="idempotent")

    world = World(clock, ids)
    await world.host("one", paying)
    handle = await world.submit_job("pay")
    await stuck.wait()
    await world.crash("one")
    await world.host("two", paying)
    assert await handle.result(60) == "receipt 1"
    assert calls == [f"{handle.id}/pay"]
    await world.close()


async def test_an_agent_that_a_job_calls_has_the_key_of_the_step(mesh_local: mesh.Mesh) -> None:
    @mesh.agent(capability="pay")
    async def pay(amount: int, ctx: mesh.Context) -> list[str]:
        return [ctx.key, mesh.effect_key("charge"), await ctx.effects.once(ctx.key, lambda key: f"{amount} {key}")]

    @workflow("paying")
    async def paying(job: Job) -> list[str]:
        return await job.call("pay", 7, returns=list[str])

    await mesh_local.host(pay)
    await mesh_local.host_workflow(paying)
    handle = await mesh_local.submit("paying")
    key = f"{handle.id}/pay"
    assert await handle.result(60) == [key, f"{key}/charge", f"7 {key}"]
