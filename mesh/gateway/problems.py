"""Errors as HTTP says them: `application/problem+json` (RFC 9457), with the mesh's own code beside the status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from mesh.protocols.errors import Killed, MeshError, Refused, Semantic, Transient

TYPE = "urn:mesh:error:"

STATUSES: Mapping[str, int] = {
    "bad-header": 400,
    "malformed": 400,
    "invalid-name": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "refused": 403,
    "unknown-workflow": 404,
    "unknown-job": 404,
    "not-found": 404,
    "method-not-allowed": 405,
    "body-missing": 408,
    "key-reused": 409,
    "passed-over": 409,
    "too-large": 413,
    "unsupported-encoding": 415,
    "bad-payload": 422,
    "overloaded": 429,
    "bad-result": 502,
    "unavailable": 503,
    "draining": 503,
    "killed": 503,
    "no-responders": 503,
    "timed-out": 504,
}
"""Every other code has the status of its class: 503 for what may help to repeat, 422 for the caller's mistake, else 500."""

RETRY_AFTER = 1.0
"""Seconds after which a transient error that names none may be tried again."""
RETRY_KILLED = 60.0
"""The same for what was killed until somebody allows it."""


class Malformed(Semantic):
    """The body is not JSON."""

    code = "malformed"
    blame = "caller"


class BadHeader(Semantic):
    """A header or a parameter of the query holds what it must not."""

    code = "bad-header"
    blame = "caller"


class BodyMissing(Semantic):
    """The body did not come to its end in time: nothing was begun."""

    code = "body-missing"
    blame = "caller"


class UnsupportedEncoding(Semantic):
    """The body is packed in a way that is not read here."""

    code = "unsupported-encoding"
    blame = "caller"


class Unauthorized(Semantic):
    """No token, or none that is known here."""

    code = "unauthorized"
    blame = "caller"


class Forbidden(Semantic):
    """The token is good, for something else."""

    code = "forbidden"
    blame = "caller"


class NotFound(Semantic):
    """Nothing is served on that path."""

    code = "not-found"
    blame = "caller"


class MethodNotAllowed(Semantic):
    """The path is served, the method is not."""

    code = "method-not-allowed"
    blame = "caller"


class PassedOver(Refused):
    """The job took note of what it was told, and it changed nothing. `detail` carries the job's `state`."""

    code = "passed-over"


def status_of(error: MeshError) -> int:
    """The HTTP status of an error."""
    if error.code in STATUSES:
        return STATUSES[error.code]
    if isinstance(error, Transient):
        return 503
    return 422 if error.blame == "caller" else 500


def problem(error: MeshError, instance: str = "", *, now: float) -> web.Response:
    """The answer that says what went wrong. `instance` is the path that was asked for, `now` in Unix seconds."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": TYPE + error.code,
        "title": error.code.replace("-", " "),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "class": error.error_class,
    }
    if instance:
        body["instance"] = instance
    if error.detail:
        body["context"] = error.detail
    return web.Response(
        status=status,
        body=msgspec.json.encode(body, enc_hook=str),
        content_type="application/problem+json",
        headers=_headers(error, status, now),
    )


def _headers(error: MeshError, status: int, now: float) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="mesh"'}
    if isinstance(error, Transient):
        return {"Retry-After": str(math.ceil(_pause(error, now)))}
    return {}


def _pause(error: Transient, now: float) -> float:
    if not isinstance(error, Killed):
        return error.retry_after or RETRY_AFTER
    until = error.detail.get("until")
    return max(RETRY_AFTER, until - now) if isinstance(until, int | float) else RETRY_KILLED
