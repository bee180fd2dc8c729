"""What the tests of the gateway share: a mesh on a real server with a host of workflows, a gateway, and who is called back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from mesh import Job, Mesh, workflow
from mesh.gateway.address import Address
from mesh.gateway.gateway import Gateway
from mesh.gateway.limits import Limits
from mesh.gateway.serve import Settings, opened
from mesh.gateway.site import Site
from mesh.gateway.webhooks.ledger import Ledger
from mesh.gateway.webhooks.service import Sending
from mesh.gateway.webhooks.signing import key_of, new_secret
from mesh.gateway.webhooks.targets import Targets
from mesh.protocols.errors import Refused
from mesh.telemetry.telemetry import Telemetry

TOKEN = "mgw_the-token-of-the-tests"
SECRET = new_secret()
KEY = key_of(SECRET)
DOORS: dict[str, asyncio.Event] = {}


class Item(msgspec.Struct):
    name: str


class Order(msgspec.Struct):
    items: list[Item]
    note: str = ""


def door(name: str) -> asyncio.Event:
    """What a job of `hold` waits for."""
    return DOORS.setdefault(name, asyncio.Event())


def loud(text: str) -> str:
    if text == "no":
        raise Refused("I will not")
    return text.upper()


async def passed(name: str) -> str:
    await door(name).wait()
    return name


@workflow("shout", version=3)
async def shout(job: Job, order: Order) -> dict[str, str]:
    """Says it louder."""
    job.progress("taking a breath")
    return {"text": await job.step("loud", loud, order.note)}


@workflow("hold")
async def hold(job: Job, name: str) -> str:
    """Goes on when its door is open."""
    await job.step("first", loud, name)
    return await job.step("second", passed, name)


@workflow("publish")
async def publish(job: Job, what: str) -> str:
    """Asks first."""
    await job.approval("site.publish", {"what": what}, key="may-i")
    return f"{what} is out"


@workflow("listen")
async def listen_to_words(job: Job) -> list[str]:
    """Hears two words."""
    return [await job.wait("word", returns=str, key=f"word-{number}") for number in range(2)]


WORKFLOWS = (shout, hold, publish, listen_to_words)


@dataclass
class Gate:
    """One gateway, and a client of it with the token."""

    mesh: Mesh
    gateway: Gateway
    site: Site
    client: aiohttp.ClientSession
    told: list[tuple[str, dict[str, Any]]]
    bound: Path | None = None

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of one request."""
        async with self.client.request(method, self.site.url + path, **more) as answer:
            return answer.status, msgspec.json.decode(await answer.read() or b"null")

    async def submit(self, tenant: str, workflow: str, given: Any, **headers: str) -> dict[str, Any]:
        status, answer = await self.ask(
            "POST",
            f"/v1/{tenant}/jobs/{workflow}",
            json=given,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        assert status == 202, answer
        return dict(answer)

    async def result(self, tenant: str, job: str) -> dict[str, Any]:
        status, answer = await self.ask("GET", f"/v1/{tenant}/jobs/{job}/result?wait=30")
        assert status == 200, answer
        return dict(answer)

    @property
    def ledger(self) -> Ledger:
        peer = self.mesh.peer
        return Ledger(peer.store, peer.subjects, peer.clock)


@asynccontextmanager
async def gateway_on(
    url: str,
    *,
    bound: Path | None = None,
    limits: Limits | None = None,
    targets: Targets | None = None,
    sending: Sending | None = None,
    address: Address | None = None,
) -> AsyncIterator[Gate]:
    """A gateway in this process, on a free port."""
    told: list[tuple[str, dict[str, Any]]] = []
    telemetry = Telemetry(lambda: 0.0, lambda event, at, fields: told.append((event, dict(fields))))
    settings = Settings(
        address=address or Address(host="127.0.0.1", port=0),
        token=TOKEN,
        secret=SECRET,
        bound=bound,
        targets=targets or Targets(["127.0.0.1:*"], loopback=True),
        sending=sending or Sending(first=0.02, sweep=0.2),
        limits=limits or Limits(grace=5.0, linger=0.1),
    )
    async with (
        Mesh.connect(url, name="gateway", telemetry=telemetry) as mesh,
        opened(mesh, settings) as site,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client,
    ):
        yield Gate(mesh, site.gateway, site, client, told, bound)


@dataclass
class Receiver:
    """Who is called back. `answers` are the statuses it gives, then 204; `heard` is what came."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    location: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": self.location} if self.location else None)


async def listen(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, str]:
    """A plain HTTP server on a free port, and its URL."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
