"""The submitter's side: hand a job in. Any process may, also one that hosts nothing; what comes of it, `handle` tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.journals.again import handed_in_again, key_reused
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.following import Client
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.owning.hosted import KnownWorkflows
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import (
    BadResult,
    NoResponders,
    Overloaded,
    TimedOut,
    TooLarge,
    Transient,
    Unavailable,
    UnknownJob,
    UnknownWorkflow,
    from_fault,
)
from mesh.protocols.job_events import Parent
from mesh.protocols.submission import Answer, Terms, digest_of, headers_of, job_id_for_key, not_known, read_input
from mesh.resilience.deadline import Deadline

HEADERS = 16 * 1024
"""Bytes of a message that the headers may take."""

ATTEMPT = 3.0
"""Seconds that one request may take before it is made again under the same key."""


async def submit(
    client: Client,
    workflow: str,
    payload: Any = None,
    *,
    tenant: str = "default",
    key: str = "",
    deadline: float | None = None,
    budget: Budget | None = None,
    boundary: str = "",
    priority: int = 2,
    labels: Mapping[str, str] | None = None,
    constraints: Constraints | None = None,
    correlation: str = "",
    causation: str = "",
    trace: str = "",
    parent: Parent | None = None,
    timeout: float = 10.0,
) -> JobHandle:
    """Hand a job in; when this returns, it is stored and will be done. Again with the same `key`: the same job.

    `payload` is the workflow's input, JSON-able; `deadline` in seconds from now, for the job; `timeout` in seconds, for
    handing it in. `constraints` is the whole of budget, boundary, priority and labels at once. `parent` is the job of the same tenant that waits for this one. Where no host of the workflow
    is up, the job waits in the ingress stream.

    Raises:
        BadPayload · TooLarge · KeyReused: it can never be done so. UnknownWorkflow: nobody ever hosted it here.
        Unavailable · TimedOut · NoResponders: it is not known whether it is stored. `detail` has the `key` with which it is the
            same job when it is handed in again, and the `job` that it then is.
    """
    limits = constraints or Constraints(
        budget=budget or Budget(), boundary=boundary, priority=priority, labels=dict(labels or {})
    )
    terms = Terms(
        key=key or client.ids.uuid(),
        deadline=deadline,
        constraints=limits,
        correlation=correlation,
        causation=causation,
        trace=trace,
        parent=parent.job if parent else "",
        wait=parent.wait if parent else "",
    )
    data = bytes(read_input(bytes(encode_payload(payload))))
    if len(data) > client.bus.max_payload - HEADERS:
        raise TooLarge(
            f"the input has {len(data)} bytes, {client.bus.max_payload - HEADERS} fit into a message: keep it elsewhere, such as in "
            "the object store, and hand over a reference",
            detail={"size": len(data), "limit": client.bus.max_payload - HEADERS},
        )
    headers = headers_of(terms)
    until = Deadline.after(client.clock, timeout)
    with _keyed(tenant, terms.key):
        try:
            answer = await _request(client, client.subjects.submit(tenant, workflow), data, headers, until)
            return JobHandle(client, answer.job, tenant=tenant, duplicate=answer.duplicate)
        except NoResponders:
            await _must_be_known(client, workflow)
            if key and parent is None and await _is_there(client, tenant, workflow, data, key):
                return JobHandle(client, job_id_for_key(tenant, key), tenant=tenant, duplicate=True)
        await _store(client, client.subjects.ingress(tenant, workflow), data, headers, until)
    return JobHandle(client, job_id_for_key(tenant, terms.key), tenant=tenant)


@contextmanager
def _keyed(tenant: str, key: str) -> Iterator[None]:
    """Whoever is not told whether the job is stored is told how it is handed in again without becoming two."""
    try:
        yield
    except (TimedOut, Unavailable, NoResponders) as error:
        job = job_id_for_key(tenant, key)
        raise type(error)(
            f"{error.message}; {not_known(job, key)}",
            retry_after=error.retry_after,
            detail={**error.detail, "key": key, "job": job},
        ) from error


async def _request(client: Client, subject: str, data: bytes, headers: dict[str, str], until: Deadline) -> Answer:
    """Ask until there is an answer: with the key in it, asking again is safe.

    Raises:
        TimedOut · Unavailable: also where the last answer was "overloaded" and an earlier request had none.
    """
    pause, unanswered = 0.05, None
    while True:
        try:
            seconds = max(0.001, min(ATTEMPT, until.remaining()))
            reply = await client.bus.request(subject, data, timeout=seconds, headers=headers)
            return _read(reply.data)
        except NoResponders:
            raise
        except Transient as error:
            if isinstance(error, TimedOut | Unavailable):
                unanswered = error
            if not isinstance(error, TimedOut | Unavailable | Overloaded) or until.remaining() <= pause:
                raise unanswered or error from None
            await client.clock.sleep(max(pause, error.retry_after or 0.0))
            pause = min(pause * 2, 1.0)


def _read(data: bytes) -> Answer:
    try:
        answer = msgspec.json.decode(data, type=Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadResult("the answer to the submission is none; something else answers on the submit subject") from None
    if answer.error is not None:
        raise from_fault(answer.error)
    return answer


async def _must_be_known(client: Client, workflow: str) -> None:
    known = {each.name for each in await KnownWorkflows(client.store, client.subjects).all()}
    if workflow not in known:
        there = (
            f"known are {', '.join(sorted(known))}" if known else "none was ever hosted here: start one with `mesh up`"
        )
        raise UnknownWorkflow(f"no workflow {workflow!r} in this mesh; {there}", detail={"known": sorted(known)})


async def _is_there(client: Client, tenant: str, workflow: str, data: bytes, key: str) -> bool:
    """Whether it is journaled: what a host would say, if there were one.

    Raises:
        KeyReused: as another job.
    """
    job = job_id_for_key(tenant, key)
    try:
        there = await Journals(client.store, client.subjects).state(tenant, job)
    except UnknownJob:
        return False
    if not handed_in_again(there, workflow, digest_of(data)):
        raise key_reused(key, job)
    return True


async def _store(client: Client, subject: str, data: bytes, headers: dict[str, str], until: Deadline) -> None:
    """Into the ingress stream: the job waits there for a host."""
    pause = 0.05
    while True:
        try:
            await client.store.append(
                subject,
                data,
                headers=headers,
                timeout=max(0.001, min(ATTEMPT, until.remaining())),
            )
        except Transient:
            if until.remaining() <= pause:
                raise
            await client.clock.sleep(pause)
            pause = min(pause * 2, 1.0)
        else:
            return


__all__ = ["Client", "JobHandle", "submit"]
