"""`POST …/{id}/cancel|pause|resume`, `…/approvals/{key}`, `…/signals/{name}`: tell a job something, and what it made of it.

200: the journal has it. 409: the job passed it over, and why. 504: nobody has taken it yet; saying it again does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import msgspec
from aiohttp import web

from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import BEARER, SAID_KEY, gateway_of
from mesh.gateway.problems import Malformed, PassedOver
from mesh.gateway.reading import known
from mesh.gateway.terms import KEY, read_terms
from mesh.jobs.outside.control import Verdict
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.errors import BadPayload
from mesh.protocols.job_events import tag_of
from mesh.protocols.submission import read_input

WITHIN = 10.0
"""Seconds for which the job's answer is waited for."""

Body = TypeVar("Body")


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who says it, as they call themselves, and why: both stand in the journal, beside the token that was used."""

    by: str = ""
    reason: str = ""


class Pausing(Said, frozen=True, kw_only=True):
    """With `now`, what is under way is stopped, too, and done again later."""

    now: bool = False


class Deciding(Said, frozen=True, kw_only=True):
    """The answer to an approval: `digest` is that of the exact action that was looked at."""

    decision: Literal["approve", "deny"]
    digest: str


async def cancel_job(request: web.Request) -> web.Response:
    """End the job; what it had done is undone where it says how."""
    said = await _body(request, Said)
    return await _once(
        request, lambda handle, key: handle.cancel(key=key, by=_by(request, said), reason=said.reason, timeout=WITHIN)
    )


async def pause_job(request: web.Request) -> web.Response:
    """Begin nothing more until it is resumed."""
    said = await _body(request, Pausing)
    by = _by(request, said)
    return await _once(
        request,
        lambda handle, key: handle.pause(now=said.now, key=key, by=by, reason=said.reason, timeout=WITHIN),
    )


async def resume_job(request: web.Request) -> web.Response:
    """Go on after a pause."""
    said = await _body(request, Said)
    return await _once(
        request, lambda handle, key: handle.resume(key=key, by=_by(request, said), reason=said.reason, timeout=WITHIN)
    )


async def decide(request: web.Request) -> web.Response:
    """Approve or deny what the job waits for under that key. The first valid answer counts."""
    said = await _body(request, Deciding)
    handle = await _handle(request)
    say = handle.approve if said.decision == "approve" else handle.deny
    key, who = request.match_info["key"], _by(request, said)
    return _report(await say(key, digest=said.digest, by=who, reason=said.reason, timeout=WITHIN))


async def send_signal(request: web.Request) -> web.Response:
    """Send the job a signal: the body is its value."""
    name, value, by = request.match_info["name"], await _json(request), _by(request, Said())
    return await _once(request, lambda handle, key: handle.signal(name, value, key=key, by=by, timeout=WITHIN))


async def _once(request: web.Request, say: Callable[[JobHandle, str], Awaitable[Verdict]]) -> web.Response:
    """Tell the job; with the same Idempotency-Key it is said once. Without one, one is made, and told."""
    key = read_terms(request.headers).key or gateway_of(request).mesh.peer.ids.uuid()
    request[SAID_KEY] = key
    handle = await _handle(request)
    answer = _report(await say(handle, key))
    answer.headers[KEY] = key
    return answer


def _report(verdict: Verdict) -> web.Response:
    if not verdict.taken or verdict.event is None:
        raise PassedOver(f"job {verdict.job} passed it over: {verdict.why}", detail={"state": verdict.status})
    event = tag_of(verdict.event)
    return json_answer({"job": verdict.job, "event": event, "state": verdict.status, "sequence": verdict.sequence})


async def _handle(request: web.Request) -> JobHandle:
    """The tenant's job.

    Raises:
        UnknownJob: the tenant has none of that id.
    """
    gateway, tenant, job = gateway_of(request), request.match_info["tenant"], request.match_info["job"]
    await known(gateway, tenant, job)
    return gateway.mesh.job(job, tenant=tenant)


def _by(request: web.Request, said: Said) -> str:
    """What a client calls itself is hearsay; which token it had is not."""
    token = f"gateway token {request[BEARER].name}"
    return f"{said.by} ({token})" if said.by else token


async def _body(request: web.Request, kind: type[Body]) -> Body:
    raw = await _json(request)
    try:
        return msgspec.json.decode(b"{}" if bytes(raw) == b"null" else raw, type=kind)
    except msgspec.ValidationError as error:
        raise BadPayload(f"the body does not fit: {error}") from None


async def _json(request: web.Request) -> msgspec.Raw:
    try:
        return read_input(await request.read())
    except BadPayload as error:
        raise Malformed(error.message) from None
