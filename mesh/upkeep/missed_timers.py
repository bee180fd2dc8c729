"""Waking, after a restore, the jobs that wait for a time and lack its timer: it came due while the backup was made."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import TIMERS
from mesh.jobs.waiting.waits import times_of
from mesh.protocols.errors import Conflict, JournalCorrupt
from mesh.protocols.job_events import Entry, Woken, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import Recorded
from mesh.protocols.ports import Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.upkeep.order import has_jobs

logger = logging.getLogger("mesh.upkeep")

AT_ONCE = 32
"""Jobs that are looked at at once."""


async def wake_the_late(store: Store, subjects: Subjects, ids: Ids) -> list[str]:
    """Give every such job to whoever hosts its workflow, who sets its timers anew; their ids. Again: nothing happens."""
    if not await has_jobs(store, subjects):
        return []
    journals = Journals(store, subjects)
    timed = await _timed(store, subjects)
    waiting = [each for each in await journals.heads() if each.entry.head.state == "waiting"]
    woken: list[str] = []
    for start in range(0, len(waiting), AT_ONCE):
        some = waiting[start : start + AT_ONCE]
        done = await asyncio.gather(*(_wake(journals, ids, each, timed[each.entry.job]) for each in some))
        woken += [each.entry.job for each, was_woken in zip(some, done, strict=True) if was_woken]
    return woken


async def _timed(store: Store, subjects: Subjects) -> dict[str, set[str]]:
    """The tokens of the timers that each job has, set or due: it may have one and lack another."""
    stream, tokens = subjects.stream(TIMERS), defaultdict[str, set[str]](set)
    if await store.streams(stream):
        for each in map(subjects.parse_timer, await store.counts(stream, subjects.timer_all())):
            tokens[each.job].add(each.token)
    return tokens


async def _wake(journals: Journals, ids: Ids, last: Recorded, timed: Collection[str]) -> bool:
    """Whether it was woken: not when it lacks no timer, when it cannot be read, and when somebody else has written to it."""
    try:
        state = await journals.state(last.entry.tenant, last.entry.job)
    except JournalCorrupt as error:
        logger.warning("job %s is restored as it was, and cannot be read: %s", last.entry.job, error)
        return False
    if state.status != "waiting" or times_of(state).keys() <= set(timed):
        return False
    event = Woken(reason="the mesh was restored from a backup, and the job lacked a timer")
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
