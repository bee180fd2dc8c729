"""Parking: a job that no code can take further until a person has decided is let go of, with an alert, and waits for that."""

from __future__ import annotations

from mesh.jobs.journals.journal import Journal
from mesh.jobs.outside.alerts import Alert, raise_alert
from mesh.jobs.owning.seat import Seat
from mesh.protocols.job_events import Parked, Value, WaitOpened
from mesh.protocols.job_state import JobState


async def park(seat: Seat, journal: Journal, base: str, *, what: str, reason: str, about: Value | None = None) -> None:
    """Have a person decide what `base` is about, and let go of the job. When it was decided before and is asked again, the
    wait's key is `<base>#2`, and so on.

    Raises:
        LeaseLost: somebody else owns the job by now.
    """
    state = journal.state
    key = free_key(state, base)
    if key not in state.waits:
        await journal.append(WaitOpened(key=key, kind="resolution", name=what, about=about))
    head, submitted = state.head, state.submitted
    await raise_alert(
        seat,
        journal.tenant,
        Alert(job=state.job, workflow=head.workflow if head else "", key=key, what=what, reason=reason),
        submitted.correlation if submitted else "",
    )
    journal.freeze("a person must decide")
    await journal.drained()
    await journal.let_go(Parked(key=key, reason=reason))


def free_key(state: JobState, base: str) -> str:
    """The key of the next such wait: an answer, once there, is the answer."""
    key, count = base, 1
    while key in state.waits and state.waits[key].answer is not None:
        count += 1
        key = f"{base}#{count}"
    return key
