"""Telling a job something: approve, signal, cancel, pause. Any process may; `handle.JobHandle` has a verb for each.

What is said is stored in the job's inbox before anybody acts on it, and becomes exactly one event of the journal. Whoever
said it follows the journal until that event is there: only then is it known what became of it. The receiving side is
`inbox.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INBOX
from mesh.jobs.outside.following import Client, follow
from mesh.jobs.waiting.echoes import id_of
from mesh.protocols.errors import BadPayload, KeyReused, NoResponders, TimedOut, Transient, Unavailable, UnknownJob
from mesh.protocols.job_events import Event, InboxPassed
from mesh.protocols.job_inbox import Approve, Deny, Resolve, Said, read_said, said_once, same_said
from mesh.protocols.job_state import JobState, Recorded, outline
from mesh.protocols.ports import Stored

ATTEMPT = 3.0
"""Seconds after which it is looked up whether a message was stored, when no acknowledgement has come."""


_KEPT = "what was said to it is kept until a host of its workflow is up"
_NOT_SAID = "it was not told: say it again"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message.

    `event` is what it was journaled as: None where the job was over before. `sequence` is its place in the inbox, 0 where it
    was not even stored. `status` is the job's state right after.
    """

    job: str
    status: str
    sequence: int = 0
    event: Event | None = None

    @property
    def taken(self) -> bool:
        """Whether it changed anything."""
        return self.event is not None and not isinstance(self.event, InboxPassed)

    @property
    def why(self) -> str:
        """Why it changed nothing; empty where it did."""
        if isinstance(self.event, InboxPassed):
            return self.event.reason
        return "" if self.event is not None else f"the job is {self.status}"


async def send(
    client: Client, tenant: str, job: str, said: Said, *, key: str = "", timeout: float | None = None
) -> Verdict:
    """Tell the job, and wait until its journal says what became of it. The same again with the same `key`: it is said once. One
    key may stand for a pause and for a resume: they are two things.

    `timeout` (seconds) ends the waiting, never the message: once stored, somebody will take it.

    Raises:
        UnknownJob: it has no journal. KeyReused: something else was said under that key. TimedOut: nothing has become of it yet;
            says whether it is stored, and where that is not known, with which key it is said again. Transient: it is not stored.
    """
    state = JobState()
    sequence, named, storing = 0, key or client.ids.uuid(), False
    message_id = f"{tenant}.{job}.{said_once(said, named)}"  # compared over all jobs
    try:
        async with asyncio.timeout(timeout):
            state = await _outline(client, tenant, job)
            sequence = await _kept(client, tenant, job, message_id, said) if key else 0
            if not sequence and state.terminal:
                return Verdict(job=job, status=state.status)
            if not sequence:
                storing = True
                sequence = await _store(client, tenant, job, said, message_id)
                sequence = (await _kept(client, tenant, job, message_id, said) if key else 0) or sequence
            event = await _event(client, tenant, job, state, sequence)
    except TimeoutError:
        told = _KEPT if sequence else _not_known(said, named) if storing else _NOT_SAID
        raise TimedOut(f"job {job} has not answered within {timeout:g} s; {told}", detail={"key": named}) from None
    return Verdict(job=job, status=state.status, sequence=sequence, event=event)


def _not_known(said: Said, key: str) -> str:
    if isinstance(said, Approve | Deny | Resolve):
        return "it is not known whether what was said is stored: say it again, the first valid answer counts"
    return f"it is not known whether what was said is stored: said again with the key {key!r} it counts once"


async def _outline(client: Client, tenant: str, job: str) -> JobState:
    """Where the job stands, from its last entry: a long journal need not be read to tell it something."""
    last = await Journals(client.store, client.subjects).last(tenant, job)
    if last is None:
        raise UnknownJob(f"no job {job} of tenant {tenant}")
    return outline(last)


async def _event(client: Client, tenant: str, job: str, state: JobState, sequence: int) -> Event | None:
    """What the message has become, or will in a moment."""
    if sequence <= state.inbox:
        return _event_of(await Journals(client.store, client.subjects).read(tenant, job), sequence)
    return await _await_event(client, tenant, job, state, sequence)


async def _await_event(client: Client, tenant: str, job: str, state: JobState, sequence: int) -> Event | None:
    """The event that the message became; None where the job ended without taking it."""
    async with aclosing(follow(client, tenant, job, state)) as records:
        async for record in records:
            event = _event_of((record,), sequence)
            if event is not None:
                return event
    return None


def _event_of(records: Iterable[Recorded], sequence: int) -> Event | None:
    events = (event for record in records for event in record.entry.events)
    return next((event for event in events if getattr(event, "inbox", 0) == sequence), None)


async def _store(client: Client, tenant: str, job: str, said: Said, message_id: str) -> int:
    """Its sequence in the inbox. An append of which nothing is known is looked up before it is tried again: the server's
    duplicate window is short."""
    subject, data, pause = client.subjects.inbox(tenant, job), msgspec.json.encode(said), 0.05
    while True:
        try:
            return (await client.store.append(subject, data, message_id=message_id, timeout=ATTEMPT)).sequence
        except (TimedOut, Unavailable, NoResponders):
            pass
        await client.clock.sleep(pause)
        pause = min(pause * 2, 1.0)
        try:
            sequence = await _kept(client, tenant, job, message_id, said)
        except Transient:
            continue
        if sequence:
            return sequence


async def _kept(client: Client, tenant: str, job: str, message_id: str, said: Said) -> int:
    """The sequence of the message with this id in the job's inbox, 0 if there is none.

    Raises:
        KeyReused: it says something else.
    """
    stored = await client.store.read(client.subjects.stream(INBOX), client.subjects.inbox(tenant, job))
    there = next((each for each in stored if id_of(each) == message_id), None)
    if there is None:
        return 0
    if not _says(there, said):
        raise KeyReused(f"job {job} was told something else under this key before: take another key")
    return there.sequence


def _says(stored: Stored, said: Said) -> bool:
    try:
        return same_said(read_said(stored.data), said)
    except BadPayload:
        return False
