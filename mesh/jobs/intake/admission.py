"""`Admission`: from a message to a journaled job, once, however often the message comes.

Whoever hands in waits for `submitted` to be stored: the request is answered, and the ingress message acked, only then.
Where this process has room to drive the job, it is claimed in the same entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.journals.again import handed_in_again, key_reused
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.seat import Seat
from mesh.jobs.waiting.children import tell
from mesh.protocols.dead_letters import Source
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import BadPayload, Conflict, Fault, MeshError, TimedOut, Unavailable
from mesh.protocols.job_events import (
    DeadLettered,
    Entry,
    Event,
    OwnerClaimed,
    Parent,
    Submitted,
    Value,
    encode_entry,
)
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Headers
from mesh.protocols.submission import Terms, digest_of, job_id_for_key, job_id_for_message, read_input, terms_of

ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """One job as it was handed in: through the ingress stream (`source`), or by request."""

    tenant: str
    workflow: str
    data: bytes
    headers: Headers | None = None
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A job that is journaled. `duplicate`: it was already; `open`: it is not over yet; `claimed`: by us, with this entry.

    `epoch` is the job's where it is ours since an entry of which we did not know that it was stored; else -1.
    """

    job: str
    tenant: str
    workflow: str
    version: int
    priority: int = 2
    duplicate: bool = False
    open: bool = True
    claimed: bool = False
    epoch: int = -1


class Admission:
    """Takes jobs in for the workflows that this process hosts: each job gets the newest version hosted here.

    `hold` keeps room for a job that is about to be journaled, if there is any, so that it is claimed at once; `let_go` gives
    the room back when it was not. Who hears of an `Admitted` that is `claimed` has the room to use.
    """

    def __init__(
        self,
        seat: Seat,
        journals: Journals,
        values: Values,
        newest: Mapping[str, Workflow[object]],
        *,
        hold: Callable[[str, str], bool],
        let_go: Callable[[str], None],
    ) -> None:
        self._seat = seat
        self._journals = journals
        self._values = values
        self._newest = newest
        self._hold = hold
        self._let_go = let_go

    async def admit(self, request: Request) -> Admitted:
        """Journal the job. Again, with the same key or message: the job that is there.

        Raises:
            BadPayload · TooLarge: the input or a header is wrong; nothing was stored.
            KeyReused: the key names another job.
            Killed: an operator has killed the tenant or the workflow; nothing was stored.
            Unavailable: nothing is known; hand it in again.
        """
        workflow = self._newest[request.workflow]
        self._must_be_allowed(request)
        terms = terms_of(request.headers)
        raw = read_input(request.data)
        workflow.arguments(raw)
        await self._refuse_dead(request, terms)
        job = self._job_id(request, terms)
        submitted = await self._submitted(job, request, terms, raw, workflow.version)
        claimed, state = await self._begin_or_claim(request.tenant, job, submitted)
        duplicate = state is not None
        if state is not None and not _same(state, submitted):
            raise key_reused(terms.key, job)
        version = state.head.version if state is not None and state.head is not None else workflow.version
        if not duplicate:
            self._seat.telemetry.emit(
                "job.submitted",
                job=job,
                tenant=request.tenant,
                workflow=workflow.name,
                correlation=submitted.correlation,
            )
        return Admitted(
            job=job,
            tenant=request.tenant,
            workflow=workflow.name,
            version=version,
            priority=terms.constraints.priority,
            duplicate=duplicate,
            open=state is None or not state.terminal,
            claimed=claimed,
            epoch=self._our_epoch(state),
        )

    async def has_admitted(self, request: Request) -> bool:
        """Whether this very message is a job already: it may come again long after, when its workflow's contract is another."""
        assert request.source is not None, "only what was stored is told by where it stands"
        try:
            job = self._job_id(request, terms_of(request.headers))
        except BadPayload:
            return False
        last = await self._journals.last(request.tenant, job)
        if last is None or not last.entry.head.version:
            return False
        if job == job_id_for_message(request.source.stream, request.source.sequence):
            return True
        there = (await self._journals.state(request.tenant, job)).submitted
        told = (_name(request.source), request.source.received_at)
        return there is not None and (there.source, there.received_at) == told

    async def refuse(self, request: Request, reason: Fault, letter: str) -> str:
        """Journal a message that cannot become a job as a dead-lettered one; gives its id. Again: nothing happens.

        It stands under the id of its message, so that whoever corrects it may use the same key. Another job's child has no
        other key: it stands under that, and its parent is told.
        """
        assert request.source is not None, "only what was stored must be accounted for"
        job = job_id_for_message(request.source.stream, request.source.sequence)
        key, parent = _child_of(request)
        if parent is not None:
            job = job_id_for_key(request.tenant, key)
            await tell(self._seat, parent, job)
        value = Value(inline=_raw_or_null(request.data)) if len(request.data) <= 4096 else Value()
        submitted = Submitted(
            workflow=request.workflow,
            version=0,
            input=value,
            digest="",
            source=_name(request.source),
            received_at=request.source.received_at,
            correlation=job,
            parent=parent,
        )
        await self._begin(request.tenant, job, (submitted, DeadLettered(fault=reason, letter=letter)))
        return job

    def _must_be_allowed(self, request: Request) -> None:
        if self._seat.policy.switches:
            switch = self._seat.policy.killed(tenant=request.tenant, workflow=request.workflow)
            if switch is not None:
                raise switch.error()

    async def _refuse_dead(self, request: Request, terms: Terms) -> None:
        """A message with a key that was given up before its workflow was ever hosted stays given up."""
        if request.source is None or not terms.key:
            return
        job = job_id_for_message(request.source.stream, request.source.sequence)
        if await self._journals.read(request.tenant, job):
            raise BadPayload(f"message {request.source.sequence} was dead-lettered before, as {job}")

    async def _submitted(self, job: str, request: Request, terms: Terms, raw: msgspec.Raw, version: int) -> Submitted:
        source = request.source
        return Submitted(
            workflow=request.workflow,
            version=version,
            input=await self._values.keep(raw, "input"),
            digest=digest_of(raw),
            constraints=terms.constraints,
            deadline=terms.deadline,
            key=terms.key,
            source=_name(source) if source else "request",
            received_at=source.received_at if source else 0.0,
            correlation=terms.correlation or job,
            causation=terms.causation,
            trace=terms.trace,
            parent=Parent(tenant=request.tenant, job=terms.parent, wait=terms.wait) if terms.parent else None,
        )

    def _job_id(self, request: Request, terms: Terms) -> str:
        if terms.key:
            return job_id_for_key(request.tenant, terms.key)
        if request.source is not None:
            return job_id_for_message(request.source.stream, request.source.sequence)
        return job_id_for_key(request.tenant, self._seat.ids.uuid())

    def _our_epoch(self, state: JobState | None) -> int:
        if state is None or state.head is None or state.head.state != "running":
            return -1
        return state.epoch if state.head.owner == self._seat.process else -1

    async def _begin_or_claim(self, tenant: str, job: str, submitted: Submitted) -> tuple[bool, JobState | None]:
        """Store the first entry, as the owner where there is room. Whether it was claimed so, and what `_begin` gives."""
        if not self._hold(job, tenant):
            return False, await self._begin(tenant, job, (submitted,))
        claim = OwnerClaimed(process=self._seat.process, incarnation=self._seat.incarnation)
        claimed = False
        try:
            state = await self._begin(tenant, job, (submitted, claim))
            claimed = state is None
        finally:
            if not claimed:
                self._let_go(job)
        return claimed, state

    async def _begin(self, tenant: str, job: str, events: tuple[Event, ...]) -> JobState | None:
        """Store a journal's first entry. The state that was there already, or None if this is the first."""
        claimed = any(isinstance(event, OwnerClaimed) for event in events)
        entry = Entry(
            id=self._seat.ids.uuid(), job=job, tenant=tenant, head=advance(None, tenant, events), events=events,
            epoch=int(claimed), owner=self._seat.process if claimed else "",
        )  # fmt: skip
        subject, data, pause = self._seat.subjects.job(tenant, job), encode_entry(entry), 0.02
        for _ in range(ATTEMPTS):
            try:
                await self._seat.store.append(subject, data, message_id=entry.id, expected=0, timeout=2.0)
                return None
            except (Conflict, TimedOut):
                pass
            found = await self._journals.read(tenant, job)
            if found:
                return None if found[0].entry.id == entry.id else await self._journals.state(tenant, job)
            await self._seat.clock.sleep(pause)
            pause *= 2
        raise Unavailable(f"job {job} could not be journaled now: hand it in again", retry_after=1.0)


def _same(state: JobState, new: Submitted) -> bool:
    """Whether it is the same job handed in again: the very same message, or the same input under the same key."""
    there = state.submitted
    if there is not None and new.received_at and (there.source, there.received_at) == (new.source, new.received_at):
        return True
    if not new.key:
        return state.archived is not None
    return handed_in_again(state, new.workflow, new.digest)


def _child_of(request: Request) -> tuple[str, Parent | None]:
    """The key and the parent of a job that another one began; what cannot be read has none."""
    try:
        terms = terms_of(request.headers)
    except BadPayload:
        return "", None
    if not terms.key or not terms.parent:
        return "", None
    return terms.key, Parent(tenant=request.tenant, job=terms.parent, wait=terms.wait)


def _name(source: Source) -> str:
    return f"stream:{source.stream}:{source.sequence}"


def _raw_or_null(data: bytes) -> msgspec.Raw:
    try:
        return read_input(data)
    except MeshError:
        return NULL
