"""The submitter's side: hand a job in, follow it, get its result. Any process may, also one that hosts nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from mesh.actors.contract import encode_payload
from mesh.jobs.hosted import KnownWorkflows
from mesh.jobs.journals import Journals
from mesh.jobs.local import contract_of
from mesh.jobs.values import Values
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import (
    BadResult,
    NoResponders,
    Overloaded,
    TimedOut,
    Transient,
    Unavailable,
    UnknownWorkflow,
    from_fault,
)
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Bus, Clock, Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.protocols.submission import Answer, Terms, headers_of, job_id_for_key, read_input
from mesh.resilience.deadline import Deadline

ATTEMPT = 3.0
"""Seconds that one request may take before it is made again under the same key."""

PATIENCE = 60.0
"""Seconds for which a server that is away is waited for while a job is followed."""


class Client(Protocol):
    """What a submitter needs; a `Peer` is one."""

    bus: Bus
    store: Store
    clock: Clock
    ids: Ids
    subjects: Subjects


class JobHandle:
    """A job that was handed in. `duplicate`: it had been before, under the same key."""

    def __init__(self, client: Client, job: str, *, tenant: str = "default", duplicate: bool = False) -> None:
        self.id = job
        self.tenant = tenant
        self.duplicate = duplicate
        self._client = client
        self._journals = Journals(client.store, client.subjects)

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r}, tenant={self.tenant!r})"

    async def state(self) -> JobState:
        """What the job amounts to now.

        Raises:
            UnknownJob: it has no journal (yet).
        """
        return await self._journals.state(self.tenant, self.id)

    async def follow(self, state: JobState | None = None) -> AsyncGenerator[Recorded, None]:
        """Its entries from the first, then new ones as they are stored, up to the last one; those that are void left out.

        `state` is folded along, if one is given. Follows over restarts of anything; a job that is not journaled yet is
        waited for.
        """
        state = JobState() if state is None else state
        give_up = self._client.clock.monotonic() + PATIENCE
        while not state.terminal:
            try:
                async with aclosing(self._journals.follow(self.tenant, self.id, after=state.sequence)) as records:
                    async for record in records:
                        give_up = self._client.clock.monotonic() + PATIENCE
                        if state.apply(record):
                            yield record
                        if state.terminal:
                            return
            except Transient:
                if self._client.clock.monotonic() >= give_up:
                    raise
                await self._client.clock.sleep(0.2)

    async def result(self, timeout: float | None = None, *, returns: Any = Any) -> Any:
        """What the workflow returned, once it has. `timeout` (seconds) ends the waiting, never the job.

        Raises:
            TimedOut: it goes on. Whatever the job failed with, as its own type.
        """
        state = await self.watch(timeout=timeout)
        return await self.outcome(state, returns=returns)

    async def watch(
        self, tell: Callable[[Recorded, JobState], None] = lambda record, state: None, *, timeout: float | None = None
    ) -> JobState:
        """Follow to the end, telling each entry with the state that it led to; gives the last state.

        Raises:
            TimedOut: it goes on after `timeout` seconds.
        """
        state = JobState()
        try:
            async with asyncio.timeout(timeout):
                async with aclosing(self.follow(state)) as records:
                    async for record in records:
                        tell(record, state)
        except TimeoutError:
            where = "not journaled yet" if state.head is None else state.status
            raise TimedOut(f"job {self.id} is {where} after {timeout:g} s; it goes on") from None
        return state

    async def outcome(self, state: JobState, *, returns: Any = Any) -> Any:
        """What a job that is over came to: its result, or its error raised as its own type."""
        contract = contract_of(returns)
        if state.fault is not None:
            raise from_fault(state.fault)
        if state.output is None:
            raise BadResult(f"job {self.id} is {state.status} and has no result")
        values = Values(self._client.store, self._client.subjects, self._client.clock)
        return contract.decode(await values.load(state.output))


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
    timeout: float = 10.0,
) -> JobHandle:
    """Hand a job in; when this returns, it is stored and will be done. Again with the same `key`: the same job.

    `payload` is the workflow's input, JSON-able; `deadline` in seconds from now, for the job; `timeout` in seconds, for
    handing it in. `constraints` is the whole of budget, boundary, priority and labels at once. Where no host of the workflow
    is up, the job waits in the ingress stream.

    Raises:
        BadPayload · TooLarge · KeyReused: it can never be done so. UnknownWorkflow: nobody ever hosted it here.
        Unavailable · TimedOut: it is not known whether it is stored; hand it in again with the same key.
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
    )
    data = bytes(read_input(bytes(encode_payload(payload))))
    headers = headers_of(terms)
    until = Deadline.after(client.clock, timeout)
    try:
        answer = await _request(client, client.subjects.submit(tenant, workflow), data, headers, until)
        return JobHandle(client, answer.job, tenant=tenant, duplicate=answer.duplicate)
    except NoResponders:
        await _must_be_known(client, workflow)
    await _store(client, client.subjects.ingress(tenant, workflow), data, headers, until)
    return JobHandle(client, job_id_for_key(tenant, terms.key), tenant=tenant)


async def _request(client: Client, subject: str, data: bytes, headers: dict[str, str], until: Deadline) -> Answer:
    """Ask until there is an answer: with the key in it, asking again is safe."""
    pause = 0.05
    while True:
        try:
            seconds = max(0.001, min(ATTEMPT, until.remaining()))
            reply = await client.bus.request(subject, data, timeout=seconds, headers=headers)
            return _read(reply.data)
        except NoResponders:
            raise
        except Transient as error:
            if not isinstance(error, TimedOut | Unavailable | Overloaded) or until.remaining() <= pause:
                raise
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
