"""The routes of a gateway, and what every request passes through."""

from __future__ import annotations

from aiohttp import web

from mesh.gateway.approving import get_approvals, get_jobs_approvals
from mesh.gateway.describing import get_openapi
from mesh.gateway.gateway import GATEWAY, Gateway
from mesh.gateway.health import healthz, readyz
from mesh.gateway.middleware import bound, harden, know, tell
from mesh.gateway.reading import get_job, get_jobs, get_result
from mesh.gateway.streaming import stream_events
from mesh.gateway.submitting import submit_job
from mesh.gateway.telling import cancel_job, decide, pause_job, resume_job, send_signal


def build(gateway: Gateway) -> web.Application:
    """The application of one gateway."""
    app = web.Application(middlewares=[tell, know, bound], client_max_size=gateway.mesh.peer.bus.max_payload)
    app[GATEWAY] = gateway
    app.on_response_prepare.append(harden)
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/v1/openapi.json", get_openapi),
            web.post("/v1/{tenant}/jobs/{workflow}", submit_job),
            web.get("/v1/{tenant}/jobs", get_jobs),
            web.get("/v1/{tenant}/jobs/{job}", get_job),
            web.get("/v1/{tenant}/jobs/{job}/result", get_result),
            web.get("/v1/{tenant}/jobs/{job}/events", stream_events, allow_head=False),
            web.get("/v1/{tenant}/approvals", get_approvals),
            web.get("/v1/{tenant}/jobs/{job}/approvals", get_jobs_approvals),
            web.post("/v1/{tenant}/jobs/{job}/approvals/{key:.+}", decide),
            web.post("/v1/{tenant}/jobs/{job}/cancel", cancel_job),
            web.post("/v1/{tenant}/jobs/{job}/pause", pause_job),
            web.post("/v1/{tenant}/jobs/{job}/resume", resume_job),
            web.post("/v1/{tenant}/jobs/{job}/signals/{name}", send_signal),
        ]
    )
    return app
