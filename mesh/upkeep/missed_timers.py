"""Waking, after a restore, the jobs that wait for a time and have no timer: theirs came due while the backup was made."""

from __future__ import annotations

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import TIMERS
from mesh.protocols.errors import Conflict
from mesh.protocols.job_events import Entry, Woken, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.upkeep.order import has_jobs


async def wake_the_late(store: Store, subjects: Subjects, ids: Ids) -> list[str]:
    """Give every such job to whoever hosts its workflow, who sets its timers anew; their ids. Again: nothing happens."""
    if not await has_jobs(store, subjects):
        return []
    journals = Journals(store, subjects)
    timed = await _timed(store, subjects)
    late = [
        each for each in await journals.heads() if each.entry.head.state == "waiting" and each.entry.job not in timed
    ]
    return [each.entry.job for each in late if await _wake(journals, ids, each)]


async def _timed(store: Store, subjects: Subjects) -> set[str]:
    """The jobs that have a timer, set or due."""
    stream = subjects.stream(TIMERS)
    if not await store.streams(stream):
        return set()
    return {subjects.parse_timer(each).job for each in await store.counts(stream, subjects.timer_all())}


async def _wake(journals: Journals, ids: Ids, last: Recorded) -> bool:
    """Whether it was woken: not when it waits for no time, and not when somebody else has written to it."""
    state = await journals.state(last.entry.tenant, last.entry.job)
    if state.status != "waiting" or not _has_an_end(state):
        return False
    event = Woken(reason="the mesh was restored from a backup, and the job had no timer")
    entry = Entry(
        id=ids.uuid(),
        job=state.job,
        tenant=last.entry.tenant,
        head=advance(state.head, last.entry.tenant, (event,)),
        events=(event,),
        epoch=state.epoch,
        previous=state.sequence,
    )
    subject = journals.subjects.job(last.entry.tenant, state.job)
    try:
        await journals.store.append(subject, encode_entry(entry), message_id=entry.id, expected=state.sequence)
    except Conflict:
        return False
    return True


def _has_an_end(state: JobState) -> bool:
    limited = state.submitted is not None and state.submitted.deadline is not None
    return limited or any(each.opened.until is not None for each in state.open_waits)
