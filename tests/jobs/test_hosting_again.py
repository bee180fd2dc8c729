"""A process that could not take its jobs up, because the store was away, may try again: nothing is left half begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.owning.owner import Owner
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("plain")
async def plain(job: Job, number: int) -> int:
    return number


@workflow("patient")
async def patient(job: Job) -> None:
    await job.sleep(3600)


def failing_once(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The consumer of that name cannot be had the second time that it is asked for, or the first if there is but one."""
    asked = 0

    async def consumer(stream: str, durable: str, *args: Any, **terms: Any) -> Any:
        nonlocal asked
        asked += durable == name
        if durable == name and asked == (2 if name.startswith("in-p") else 1):
            raise Unavailable("a leader is being elected")
        return await real(stream, durable, *args, **terms)

    return consumer


@pytest.mark.parametrize("name", ["in-plain", "in-unclaimed", "inbox", "timers"])
async def test_hosting_that_failed_in_the_middle_is_made_good_by_hosting_again(
    clock: Clock, ids: Ids, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(clock, ids)
    owner: Owner = await world.host("p")
    monkeypatch.setattr(owner.seat.store, "consumer", failing_once(owner.seat.store.consumer, name), raising=False)
    with pytest.raises(Unavailable):
        await owner.host(plain)
    await owner.host(plain)
    await owner.host(patient)

    await world.client.store.append(world.subjects.ingress("default", "plain"), b"7", timeout=5)
    await world.client.store.append(world.subjects.ingress("default", "nobodys"), b"7", timeout=5)
    waiting = await world.submit_job("patient")
    assert (await world.submit_job("plain", 5)) is not None
    await clock.sleep(60)
    states = sorted(each.entry.head.state for each in await world.reader.heads())
    assert states == ["completed", "completed", "dead_lettered", "waiting"]
    await waiting.result(3700)
    await world.close()
