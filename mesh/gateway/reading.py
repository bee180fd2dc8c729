"""`GET /v1/{tenant}/jobs`, `…/{id}` and `…/{id}/result`: look at jobs, and wait for one."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from mesh.client.waiting import why_waiting
from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import Gateway, gateway_of
from mesh.gateway.links import job_path, links
from mesh.gateway.paging import page
from mesh.gateway.query import number
from mesh.jobs.outside.listing import list_jobs, row, show_job
from mesh.protocols.errors import TimedOut, UnknownJob
from mesh.protocols.job_state import JobState

PAGE = 50
LOOK = 1.0
"""Seconds between two looks at whether somebody who waits is still connected."""


async def get_jobs(request: web.Request) -> web.Response:
    """The tenant's jobs, the latest first: `limit`, `state`, `workflow`, and `after` for the next page."""
    gateway, tenant = gateway_of(request), request.match_info["tenant"]
    limit = int(number(request.query, "limit", PAGE, least=1, most=gateway.limits.page))
    rows = await list_jobs(
        gateway.journals,
        tenant=tenant,
        state=request.query.get("state", ""),
        workflow=request.query.get("workflow", ""),
    )
    shown, after = page(rows, limit=limit, after=request.query.get("after", ""))
    return json_answer({"jobs": shown, "next": after or None})


async def get_job(request: web.Request) -> web.Response:
    """Everything about one job, as `mesh job show -o json` has it."""
    gateway, tenant, job = gateway_of(request), request.match_info["tenant"], request.match_info["job"]
    await known(gateway, tenant, job)
    directory = gateway.mesh.directory
    shown = await show_job(gateway.journals, gateway.values, job, why_waiting=lambda head: why_waiting(directory, head))
    if shown["tenant"] != tenant:
        raise unknown(tenant, job)
    return json_answer({**shown, "links": links(tenant, job)})


async def get_result(request: web.Request) -> web.Response:
    """The result or error of a job that is over; with `wait`, up to so many seconds later. 202: it goes on."""
    gateway, tenant, job = gateway_of(request), request.match_info["tenant"], request.match_info["job"]
    wait = number(request.query, "wait", 0.0, least=0.0, most=gateway.limits.wait)
    state = await known(gateway, tenant, job)
    if wait and not state.terminal:
        with gateway.place():
            state = await _until_over(request, state, tenant, wait)
    if not state.terminal:
        headers = {"Retry-After": "1", "Location": f"{job_path(tenant, job)}/result"}
        return json_answer(_about(state), 202, headers)
    result = await gateway.values.load(state.output) if state.output is not None else None
    return json_answer({**_about(state), "result": result, "error": state.fault})


def _about(state: JobState) -> dict[str, Any]:
    assert state.head is not None
    return row(state.job, state.head, state.head.submitted_at)


async def known(gateway: Gateway, tenant: str, job: str) -> JobState:
    """The state of one of the tenant's jobs.

    Raises:
        UnknownJob: the tenant has none of that id; nobody learns here that another one has it.
    """
    try:
        return await gateway.journals.state(tenant, job)
    except UnknownJob:
        raise unknown(tenant, job) from None


def unknown(tenant: str, job: str) -> UnknownJob:
    """What whoever asks for a job is told that is not there for them."""
    return UnknownJob(
        f"tenant {tenant} has no job {job}; one that was handed in while no host of its workflow was up appears when one is"
    )


async def _until_over(request: web.Request, state: JobState, tenant: str, wait: float) -> JobState:
    """The job's state once it is over, or once the waiting is: whoever has hung up takes nobody else's place."""
    gateway = gateway_of(request)
    handle = gateway.mesh.job(state.job, tenant=tenant)
    watching = asyncio.create_task(handle.watch(timeout=wait))
    stopping = asyncio.create_task(gateway.stopping.wait())
    try:
        done: set[asyncio.Task[Any]] = set()
        while not done and request.transport is not None:
            done, _ = await asyncio.wait({watching, stopping}, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
        return watching.result() if watching.done() else state
    except TimedOut:
        return state
    finally:
        watching.cancel()
        stopping.cancel()
