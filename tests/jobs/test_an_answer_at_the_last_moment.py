"""An answer that was on its way to the journal when the job was let go of: it is seen, or nobody would ever take the job up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.jobs.running.stillness import Stillness
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import LeaseLost
from mesh.protocols.job_events import WaitOpened, WaitResolved
from mesh.protocols.job_state import JobState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.ports import Clock

pytestmark = pytest.mark.virtual

OPENED = WaitOpened(key="w", kind="signal", name="news")
ANSWER = WaitResolved(key="w", how="signalled")
OPEN = WaitState(OPENED, 1.0)
ANSWERED = OPEN._replace(answer=ANSWER, resolved_at=2.0)


def waits_of(clock: Clock) -> tuple[Waits, dict[str, WaitState]]:
    """The waits of a run whose journal has one that is open."""
    state = JobState(job="j", waits={"w": OPEN})
    journal: Any = SimpleNamespace(state=state, check=lambda: None, job_time=lambda: 0.0, frozen=None)
    course: Any = SimpleNamespace(check=lambda: None)
    return Waits(journal, None, Stillness(clock), course, opened=lambda: None), state.waits  # type: ignore[arg-type]


async def test_an_answer_is_owed_also_after_the_workflow_was_stopped_where_it_waited(clock: Clock) -> None:
    waits, journaled = waits_of(clock)
    line = asyncio.ensure_future(waits.wait(SimpleNamespace(saw=lambda at: None), OPENED))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert not waits.answered
    waits._journal.frozen = LeaseLost("the job waits")
    line.cancel()
    await asyncio.gather(line, return_exceptions=True)
    assert not waits.answered
    journaled["w"] = ANSWERED
    assert waits.answered


async def test_an_answer_that_was_given_is_owed_no_more(clock: Clock) -> None:
    waits, journaled = waits_of(clock)
    line = asyncio.ensure_future(waits.wait(SimpleNamespace(saw=lambda at: None), OPENED))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    journaled["w"] = ANSWERED
    assert waits.answered
    waits.heard()
    assert await line == ANSWER
    assert not waits.answered
