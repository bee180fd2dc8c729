"""`GET /v1/{tenant}/approvals` and `…/jobs/{id}/approvals`: what waits for somebody's yes, and what exactly it is about."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import Gateway, gateway_of
from mesh.gateway.reading import known
from mesh.jobs.outside.approvals import open_approvals
from mesh.jobs.outside.listing import iso
from mesh.protocols.job_wait_state import WaitState


async def get_approvals(request: web.Request) -> web.Response:
    """Every open approval of the tenant's jobs, the oldest first."""
    gateway, tenant = gateway_of(request), request.match_info["tenant"]
    rows = [
        {**msgspec.structs.asdict(each), "until": iso(each.until) if each.until is not None else None}
        for each in await open_approvals(gateway.journals, tenant)
    ]
    return json_answer({"approvals": rows})


async def get_jobs_approvals(request: web.Request) -> web.Response:
    """The open approvals of one job, each with the action itself and the digest to answer with."""
    gateway, tenant, job = gateway_of(request), request.match_info["tenant"], request.match_info["job"]
    state = await known(gateway, tenant, job)
    waits = [each for each in state.open_waits if each.opened.kind == "approval"]
    return json_answer({"approvals": [await _shown(gateway, each) for each in waits]})


async def _shown(gateway: Gateway, wait: WaitState) -> dict[str, Any]:
    opened = wait.opened
    return {
        "key": opened.key,
        "action": opened.name,
        "about": await gateway.values.load(opened.about) if opened.about is not None else None,
        "digest": opened.digest,
        "risk": opened.risk or None,
        "asked_at": iso(wait.opened_at),
        "until": iso(opened.until) if opened.until is not None else None,
    }
