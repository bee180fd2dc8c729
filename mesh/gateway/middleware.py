"""What every request passes through, from the outside in: told and answered whatever happens, known by its token, in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from mesh.gateway.gateway import BEARER, SAID_KEY, gateway_of
from mesh.gateway.problems import (
    BodyMissing,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    UnsupportedEncoding,
    problem,
)
from mesh.gateway.reading import get_result
from mesh.gateway.streaming import stream_events
from mesh.protocols.errors import MeshError, TimedOut, TooLarge
from mesh.protocols.naming.names import check_name

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = ("/healthz", "/readyz")
"""Served without a token, and saying nothing but yes or no."""
LASTING = (get_result, stream_events)
"""These end by themselves: they wait for a job."""

HUNG_UP = 499
"""What is told of a request whose sender was gone before there was an answer; nobody reads it."""

logger = logging.getLogger("mesh.gateway")


@web.middleware
async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every request becomes one line, without its query and headers; every error becomes a problem."""
    peer = gateway_of(request).mesh.peer
    began = peer.clock.monotonic()
    answer = await _answer(request, handler)
    route = request.match_info.route.resource
    bearer = request.get(BEARER)
    peer.telemetry.emit(
        "http.request",
        method=request.method,
        route=route.canonical if route is not None else None,
        status=answer.status,
        tenant=request.match_info.get("tenant"),
        job=request.match_info.get("job"),
        bearer=bearer.name if bearer else None,
        seconds=round(peer.clock.monotonic() - began, 4),
    )
    return answer


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except MeshError as error:
        return _problem(error, request)
    except web.HTTPException as error:
        return _problem(_known(error), request)
    except Exception as error:
        if isinstance(error, ConnectionError) and _gone(request):
            return web.Response(status=HUNG_UP)
        logger.exception("%s %s failed", request.method, request.path)
        return _problem(MeshError("something went wrong in the gateway; its log says what"), request)


def _problem(error: MeshError, request: web.Request) -> web.Response:
    """Whatever went wrong names the key, so that it can be said again as the same thing."""
    if SAID_KEY in request:
        error.detail.setdefault("key", request[SAID_KEY])
    return problem(error, request.path, now=gateway_of(request).mesh.peer.clock.now())


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _known(error: web.HTTPException) -> MeshError:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("the body is larger than the mesh takes")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(f"only {', '.join(sorted(error.allowed_methods))} here")
    return NotFound("nothing is served on this path; /v1/openapi.json says what is")


@web.middleware
async def know(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing is done, read or even looked up without a token that is good for the tenant of the path."""
    if request.path in OPEN:
        return await handler(request)
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = gateway_of(request).tokens.bearer(token.strip()) if kind.lower() == "bearer" else None
    if bearer is None:
        raise Unauthorized(
            "give the gateway's token: `Authorization: Bearer …` (`mesh gateway token` says where it is)"
        )
    tenant = request.match_info.get("tenant")
    if tenant is not None and not bearer.may_act_for(check_name(tenant, "tenant")):
        raise Forbidden(f"this token is not for tenant {tenant}")
    request[BEARER] = bearer
    return await handler(request)


@web.middleware
async def bound(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A request that is too large, packed, or takes too long is ended."""
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(
            f"the body has {request.content_length} bytes, {limit} are allowed",
            detail={"size": request.content_length, "limit": limit},
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding("send the body as it is, without Content-Encoding")
    if request.match_info.handler in LASTING:
        return await handler(request)
    seconds = gateway_of(request).limits.request
    try:
        async with asyncio.timeout(seconds):
            return await handler(request)
    except TimeoutError:
        raise _late(request, seconds) from None


def _late(request: web.Request, seconds: float) -> MeshError:
    """Handlers read the body first: as long as it is not there, nothing was begun. aiohttp's parser says nothing to whoever
    waits for a body whose chunks are malformed."""
    if not request.content.is_eof():
        return BodyMissing(f"the body did not come to its end within {seconds:g} s, or its chunks are malformed")
    return TimedOut(f"this took longer than {seconds:g} s; what it began may go on")


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer: nothing is cached, sniffed, or told about what runs here."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "mesh"
