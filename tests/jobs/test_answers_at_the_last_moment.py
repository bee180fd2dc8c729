"""An answer that comes while the owner lets go of the job is not lost, whenever exactly it comes."""

from __future__ import annotations

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.running.stillness import LINGER
from mesh.protocols.job_inbox import SendSignal
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual

MOMENTS = [LINGER + step * 0.00025 for step in range(-40, 80)]
"""Seconds after the job began to wait: around the moment at which it is let go of, a quarter of a hop apart."""


@workflow("two-words")
async def two_words(job: Job) -> list[str]:
    return [await job.wait("word", returns=str, key=f"word-{number}") for number in range(2)]


async def test_a_signal_around_the_moment_of_letting_go_is_heard(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("one", two_words)
    try:
        for moment in MOMENTS:
            handle = await world.submit_job("two-words")
            await handle.watch(timeout=5, until=lambda state: bool(state.open_waits))
            inbox = world.subjects.inbox("default", handle.id)
            await clock.sleep(moment)
            for word in ("a", "b"):
                await world.client.store.append(
                    inbox, msgspec.json.encode(SendSignal(name="word", value=msgspec.Raw(msgspec.json.encode(word))))
                )
                await clock.sleep(0.2)
            assert await handle.result(5) == ["a", "b"], moment
    finally:
        await world.close()
