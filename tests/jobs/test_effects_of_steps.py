"""A local step whose effect must happen once: its key is within reach, and a crash in the middle does not do it twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from job_stage import World

import mesh
from mesh.jobs.workflow import Job, workflow
from mesh.protocols.errors import InDoubt
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


@pytest.mark.parametrize("honours_keys", [True, False])
async def test_an_owner_lost_between_effect_and_result_does_not_do_the_effect_twice(
    clock: Clock, ids: Ids, tmp_path: Path, honours_keys: bool
) -> None:
    """An idempotent target is called again and does nothing; any other leaves a doubt, which the workflow sees."""
    target = EffectTarget(tmp_path / "ledger", honours_keys=honours_keys)
    hang = asyncio.Event()

    async def charge(key: str) -> str:
        took = target.ask(key)
        if target.asked(key) == 1:
            await hang.wait()
        return f"charged {took}"

    async def pay() -> str:
        return await mesh.effects().once(
            mesh.effect_key("charge"), charge, effect="idempotent" if honours_keys else "at_most_once"
        )

    @workflow("pay")
    async def paying(job: Job) -> str:
        try:
            return await job.step("pay", pay, effect="idempotent")
        except InDoubt:
            return "in doubt"

    world = World(clock, ids)
    await world.host("one", paying)
    handle = await world.submit_job("pay")
    await until(lambda: target.most == 1)
    await world.crash("one")
    await world.host("two", paying)
    assert await handle.result(60) == ("charged False" if honours_keys else "in doubt")
    assert target.most == 1
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
