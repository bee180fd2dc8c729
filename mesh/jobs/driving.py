"""One claimed job, from the top of its workflow to its last event. Reads as the sentence it is."""

from __future__ import annotations

from mesh.jobs.journal import Journal
from mesh.jobs.run import Run
from mesh.jobs.steps import handler_failed
from mesh.jobs.values import Values
from mesh.protocols.errors import Cancelled, MeshError
from mesh.protocols.job_events import Cancelled as CancelledEvent
from mesh.protocols.job_events import Completed, Event, Failed


async def drive(run: Run, journal: Journal, values: Values) -> None:
    """Run the workflow and journal how it ended. When this returns, the job is over.

    Raises:
        LeaseLost: somebody else drives the job now; nothing was journaled.
    """
    await journal.append(await _outcome(run, journal, values))


async def _outcome(run: Run, journal: Journal, values: Values) -> Event:
    try:
        return Completed(output=await values.keep(await run.main(), "result"))
    except Cancelled as error:
        journal.check()
        return CancelledEvent(fault=error.fault())
    except MeshError as error:
        journal.check()
        return Failed(fault=error.fault())
    except Exception as error:  # noqa: BLE001 - a workflow may raise anything; it is journaled whole
        journal.check()
        return Failed(fault=handler_failed(error, "the workflow").fault())
