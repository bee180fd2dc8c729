"""An owner keeps its ear on a job for as long as it drives it, whatever it hears."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.waiting.attention import Attention
from mesh.jobs.waiting.inbox import Inbox
from mesh.protocols.errors import Cancelled, JournalCorrupt, Unavailable
from mesh.protocols.job_events import WaitOpened
from mesh.protocols.job_state import JobState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("long")
async def long(job: Job) -> None:
    await job.call("long", timeout=600)


@pytest.mark.parametrize("error", [Unavailable("away"), JournalCorrupt("a child's journal"), RuntimeError("a bug")])
async def test_a_message_that_cannot_be_read_now_makes_no_owner_deaf(
    clock: Clock, ids: Ids, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Inbox.unread, [error]

    async def unread(inbox: Inbox, *about: Any) -> Any:
        if failures:
            raise failures.pop()
        return await real(inbox, *about)

    world = World(clock, ids, long=lambda _: clock.sleep(300))
    monkeypatch.setattr(Inbox, "unread", unread)
    await world.host("p", long)
    handle, began = await world.submit_job("long"), clock.monotonic()
    await clock.sleep(1)
    await handle.cancel(reason="enough")
    with pytest.raises(Cancelled):
        await handle.result(250)
    assert clock.monotonic() - began < 30
    await world.close()


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_stopped_in_the_moment_in_which_it_hears_something_stops(clock: Clock, turns: int) -> None:
    """Whoever lets go of a job waits for this: deaf to it, it would hold the job for ever."""
    opened = WaitOpened(key="w", kind="timer", name="w", until=1000.0)
    state = JobState(job="j", waits={"w": WaitState(opened, 0.0)})
    journal: Any = SimpleNamespace(state=state, job_time=lambda: 0.0)
    attention = Attention(journal, SimpleNamespace(), clock, lambda: None)  # type: ignore[arg-type]
    minding = asyncio.ensure_future(attention.mind())
    await clock.sleep(1)
    attention.rearm()
    for _ in range(turns):
        await asyncio.sleep(0)
    minding.cancel()
    done, _ = await asyncio.wait({minding}, timeout=10)
    assert done
