"""`POST /v1/{tenant}/jobs/{workflow}`: hand a job in. 202: it is stored, and will be done."""

from __future__ import annotations

import msgspec
from aiohttp import web

from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import SAID_KEY, Gateway, gateway_of
from mesh.gateway.links import job_path, links
from mesh.gateway.problems import BadHeader, Malformed
from mesh.gateway.terms import KEY, WEBHOOK, read_terms
from mesh.gateway.webhooks.service import Registered
from mesh.jobs.outside.submission import JobHandle, submit
from mesh.protocols.errors import BadPayload, Semantic
from mesh.protocols.naming.names import check_name
from mesh.protocols.submission import Terms, digest_of, job_id_for_key, read_input

HANDING_IN = 10.0
"""Seconds for which a submission is tried."""


async def submit_job(request: web.Request) -> web.Response:
    """Hand a job in. Again with the same key and input: the same job, `duplicate`.

    A webhook is registered before the job is handed in, so that no crash in between loses it, and withdrawn where the job
    was refused for good.
    """
    gateway = gateway_of(request)
    tenant, workflow = request.match_info["tenant"], check_name(request.match_info["workflow"], "workflow")
    terms = read_terms(request.headers)
    if not terms.key:
        terms = msgspec.structs.replace(terms, key=gateway.mesh.peer.ids.uuid())
    request[SAID_KEY] = terms.key
    given = await _input(request)
    handle = await _hand_in(request, gateway, tenant, workflow, terms, given)
    answer = {"job": handle.id, "duplicate": handle.duplicate, "key": terms.key, "links": links(tenant, handle.id)}
    return json_answer(answer, 202, {"Location": job_path(tenant, handle.id), KEY: terms.key})


async def _hand_in(
    request: web.Request, gateway: Gateway, tenant: str, workflow: str, terms: Terms, given: msgspec.Raw
) -> JobHandle:
    hook = await _register(request, gateway, tenant, workflow, terms, given)
    try:
        return await _submit(gateway, tenant, workflow, terms, given)
    except Semantic:
        if hook is not None:
            await hook.withdraw()
        raise


async def _input(request: web.Request) -> msgspec.Raw:
    try:
        return read_input(await request.read())
    except BadPayload as error:
        raise Malformed(error.message) from None


async def _register(
    request: web.Request, gateway: Gateway, tenant: str, workflow: str, terms: Terms, given: msgspec.Raw
) -> Registered | None:
    if WEBHOOK not in request.headers:
        return None
    if len(request.headers.getall(WEBHOOK)) > 1:
        raise BadHeader(f"one {WEBHOOK} a submission")
    job = job_id_for_key(tenant, terms.key)
    url = request.headers[WEBHOOK].strip()
    return await gateway.webhooks.register(url, tenant=tenant, job=job, workflow=workflow, digest=digest_of(given))


async def _submit(gateway: Gateway, tenant: str, workflow: str, terms: Terms, given: msgspec.Raw) -> JobHandle:
    return await submit(
        gateway.mesh.peer,
        workflow,
        given,
        tenant=tenant,
        key=terms.key,
        deadline=terms.deadline,
        constraints=terms.constraints,
        correlation=terms.correlation,
        causation=terms.causation,
        trace=terms.trace,
        timeout=HANDING_IN,
    )
