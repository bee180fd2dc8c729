"""In a cluster, the server that is asked for a new job may not have heard of it yet: that is waited for, a moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.tenure import Tenure
from mesh.protocols.errors import UnknownJob
from mesh.protocols.job_events import JobHead
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock

pytestmark = pytest.mark.virtual

OVER = JobState(job="j", head=JobHead(workflow="w", version=1, tenant="default", state="completed"))
CANDIDATE = Candidate(job="j", tenant="default", workflow="w", version=1)


class Lagging:
    """Journals of a server that has not heard of the job for the first reads."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def state(self, *_: Any, **__: Any) -> JobState:
        self.left -= 1
        if self.left >= 0:
            raise UnknownJob("no job j of tenant default")
        return OVER


async def serve(clock: Clock, journals: Lagging) -> None:
    means: Any = SimpleNamespace(seat=SimpleNamespace(clock=clock), journals=journals)
    await Tenure(means, None, CANDIDATE).serve()  # type: ignore[arg-type]


async def test_a_journal_that_comes_late_is_read_when_it_is_there(clock: Clock) -> None:
    journals = Lagging(3)
    await serve(clock, journals)
    assert journals.left == -1


async def test_a_job_that_never_was_is_given_up(clock: Clock) -> None:
    with pytest.raises(UnknownJob):
        await serve(clock, Lagging(1000))
