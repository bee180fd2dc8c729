"""`GET /v1/{tenant}/jobs/{id}/events`: every event of a job's journal, then those to come, up to the last one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from mesh.gateway.gateway import BEARER, Gateway, gateway_of
from mesh.gateway.positions import Position, read_position
from mesh.gateway.reading import unknown
from mesh.gateway.sse import HEARTBEAT, LEAVING, REVOKED, blocks
from mesh.protocols.errors import Transient
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState, Recorded

logger = logging.getLogger("mesh.gateway")

_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


async def stream_events(request: web.Request) -> web.StreamResponse:
    """Server-sent events from behind `Last-Event-ID` (or `?after=`). 204 where nothing can follow: browsers then stop asking."""
    gateway, tenant, job = gateway_of(request), request.match_info["tenant"], request.match_info["job"]
    read = read_position(request.headers.get("Last-Event-ID") or request.query.get("after", ""))
    with gateway.place():
        last = await gateway.journals.last(tenant, job)
        if last is None:
            raise unknown(tenant, job)
        if last.entry.head.state in TERMINAL and read.skip(last.sequence) is None:
            return web.Response(status=204)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            await _follow(gateway, request, response, read)
        except (ConnectionError, TimeoutError, Transient):
            _cut(request)
        except (
            Exception
        ):  # the head is sent: an answer that says what went wrong would stand in the middle of the events
            logger.exception("the events of job %s broke off", job)
            _cut(request)
        return response


async def _follow(gateway: Gateway, request: web.Request, response: web.StreamResponse, read: Position) -> None:
    """Whatever goes wrong ends the stream; whoever reads it comes back with the last id. So does a token that is taken away.

    It is folded from its first entry, for only then is it known which entries are void.
    """
    state, tenant = JobState(), request.match_info["tenant"]
    records = gateway.mesh.job(request.match_info["job"], tenant=tenant).follow(state)
    async with aclosing(records), aclosing(_or_silence(gateway, records)) as heard:
        async for record in heard:
            if not gateway.tokens.still(request[BEARER], tenant):
                await _write(gateway, response, REVOKED)
                return
            await _write(gateway, response, b"".join(blocks(record, read)) if record is not None else HEARTBEAT)
    if not state.terminal:
        await _write(gateway, response, LEAVING)


async def _or_silence(
    gateway: Gateway, records: AsyncGenerator[Recorded, None]
) -> AsyncGenerator[Recorded | None, None]:
    """The records as they come, and None for each heartbeat's time without one; ends when the gateway stops."""
    stopping = asyncio.create_task(gateway.stopping.wait())
    coming: asyncio.Task[Recorded | None] | None = None
    try:
        while not gateway.stopping.is_set():
            coming = coming or asyncio.create_task(_next(records))
            await asyncio.wait(
                {coming, stopping}, timeout=gateway.limits.heartbeat, return_when=asyncio.FIRST_COMPLETED
            )
            if not coming.done():
                yield None
                continue
            record, coming = coming.result(), None
            if record is None:
                return
            yield record
    finally:
        stopping.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(records: AsyncGenerator[Recorded, None]) -> Recorded | None:
    return await anext(records, None)


async def _write(gateway: Gateway, response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(gateway.limits.write):
            await response.write(data)


def _cut(request: web.Request) -> None:
    """Whoever does not read, or cannot be served any more, is not waited for."""
    if request.transport is not None:
        request.transport.abort()
