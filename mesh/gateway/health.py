"""`/healthz` and `/readyz`, for orchestrators and load balancers: without a token, and without a word about the mesh."""

from __future__ import annotations

from aiohttp import web

from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import gateway_of


async def healthz(request: web.Request) -> web.Response:
    """200 while the process answers."""
    return json_answer({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """200 while it takes requests; 503 while the mesh's server is out of reach, or when it is about to stop."""
    ready = gateway_of(request).ready
    return json_answer({"status": "ready" if ready else "not ready"}, 200 if ready else 503)
