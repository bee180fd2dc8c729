"""One claimed job, from the top of its workflow to its last event. Reads as the sentence it is."""

from __future__ import annotations

import asyncio

from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.running.run import Run
from mesh.jobs.steps.steps import handler_failed
from mesh.protocols.errors import BadPayload, BadResult, Cancelled, MeshError
from mesh.protocols.job_events import Cancelled as CancelledEvent
from mesh.protocols.job_events import Completed, Failed

Outcome = Completed | Failed | CancelledEvent


async def drive(run: Run, journal: Journal, values: Values) -> None:
    """Run the workflow and journal how it ended. When this returns, the job is over.

    Raises:
        LeaseLost: somebody else drives the job now; nothing was journaled.
        ReplayDiverged: the workflow does not fit the journal any more, and a person is to decide.
    """
    outcome = None if run.being_undone else await outcome_of(run, journal, values)
    if run.course.must_park and run.cancelled is None:
        run.course.check()
    await run.wind_up()
    ended = outcome if isinstance(outcome, Completed) else await run.undo(outcome)
    await run.tell_parent()
    cancelled = await run.cancelled_meanwhile()
    if cancelled is not None and isinstance(ended, Completed):
        ended = await run.undo(CancelledEvent(fault=cancelled.fault()))
        await run.tell_parent()
    await journal.append(ended)


async def outcome_of(run: Run, journal: Journal, values: Values) -> Outcome:
    """How it ended. Once somebody has asked for its end, that is how, whatever the workflow makes of it."""
    outcome: Outcome
    try:
        outcome = Completed(output=await values.keep(await run.main(), "result"))
    except Cancelled as error:
        outcome = CancelledEvent(fault=error.fault())
    except MeshError as error:
        if isinstance(error, BadPayload | BadResult):
            run.course.raised(error)
        outcome = Failed(fault=error.fault())
    except asyncio.CancelledError as error:
        if _is_asked_for():
            raise
        outcome = Failed(fault=handler_failed(error, "the workflow").fault())
    except Exception as error:  # noqa: BLE001 - a workflow may raise anything; it is journaled whole
        run.course.raised(error)
        outcome = Failed(fault=handler_failed(error, "the workflow").fault())
    journal.check()
    return CancelledEvent(fault=run.cancelled.fault()) if run.cancelled else outcome


def _is_asked_for() -> bool:
    """Whether somebody wants the run to stop here: else its own code has raised it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
