"""The tombstone of an archived job: what it says, and setting it."""

from __future__ import annotations

import hashlib

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.protocols.errors import Conflict, TimedOut
from mesh.protocols.job_events import Archived, Entry, Value, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import JobState, is_tombstone
from mesh.protocols.ports import Ids
from mesh.protocols.references import Reference
from mesh.protocols.submission import digest_of

SMALL = 4096
"""Bytes of a result that stands in the tombstone itself; a larger one is kept as an object."""


async def tombstone_of(state: JobState, tenant: str, archive: str, entries: int, values: Values) -> Archived:
    """What the tombstone of an ended job says."""
    assert state.head is not None
    submitted = state.submitted
    return Archived(
        state=state.head.state,
        archive=archive,
        entries=entries,
        key=submitted.key if submitted else "",
        digest=submitted.digest if submitted else "",
        outcome=_outcome(state),
        output=await _small(state.output, values),
        fault=state.fault,
    )


async def set_tombstone(journals: Journals, ids: Ids, state: JobState, tenant: str, event: Archived) -> int | None:
    """Append it behind the last entry; its sequence, or None when somebody else wrote to the journal first.

    Raises:
        TimedOut · Unavailable: it is not known whether it stands there; the next run finds out.
    """
    assert state.head is not None
    entry = Entry(
        id=ids.uuid(),
        job=state.job,
        tenant=tenant,
        head=msgspec.structs.replace(advance(state.head, tenant, (event,)), snapshot=0),
        events=(event,),
        epoch=state.epoch,
        owner=state.head.owner,
        previous=state.sequence,
    )
    subject = journals.subjects.job(tenant, state.job)
    try:
        ack = await journals.store.append(subject, encode_entry(entry), message_id=entry.id, expected=state.sequence)
    except (Conflict, TimedOut):
        found = await journals.read(tenant, state.job, after=state.sequence)
        if not found:
            raise
        mine = found[-1].entry.id == entry.id or is_tombstone(found[-1].entry)
        return found[-1].sequence if mine and found[-1].entry.previous == state.sequence else None
    return ack.sequence


def _outcome(state: JobState) -> str:
    """The digest of the result, or of the fault."""
    if state.fault is not None:
        return "sha256:" + hashlib.sha256(msgspec.json.encode(state.fault)).hexdigest()
    if state.output is None:
        return ""
    return state.output.ref.digest if state.output.ref else digest_of(state.output.inline)


async def _small(output: Value | None, values: Values) -> Value | None:
    if output is None or output.ref is not None or len(bytes(output.inline)) <= SMALL:
        return output
    data = bytes(output.inline)
    return Value(ref=Reference(digest=await values.put(data), size=len(data)))
