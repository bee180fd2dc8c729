"""`GET /v1/openapi.json`: what this gateway serves, with the workflows that were ever hosted in its mesh."""

from __future__ import annotations

from aiohttp import web

from mesh.gateway.answers import json_answer
from mesh.gateway.gateway import Gateway, gateway_of
from mesh.gateway.openapi import Described, document
from mesh.jobs.owning.hosted import KnownWorkflow, KnownWorkflows


async def get_openapi(request: web.Request) -> web.Response:
    """The document, made anew each time: workflows come and change while a gateway runs."""
    gateway = gateway_of(request)
    return json_answer(document([await _described(gateway, each) for each in await _newest(gateway)]))


async def _newest(gateway: Gateway) -> list[KnownWorkflow]:
    peer, newest = gateway.mesh.peer, dict[str, KnownWorkflow]()
    for each in await KnownWorkflows(peer.store, peer.subjects).all():
        known = newest.get(each.name)
        if known is None or known.version < each.version:
            newest[each.name] = each
    return list(newest.values())


async def _described(gateway: Gateway, workflow: KnownWorkflow) -> Described:
    schema = gateway.mesh.directory.schema
    return Described(
        name=workflow.name,
        version=workflow.version,
        description=workflow.description,
        input=await schema(workflow.input),
        output=await schema(workflow.output),
    )
