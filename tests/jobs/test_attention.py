"""An owner keeps its ear on a job for as long as it drives it, whatever it hears."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.waiting.inbox import Inbox
from mesh.protocols.errors import Cancelled, JournalCorrupt, Unavailable
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
