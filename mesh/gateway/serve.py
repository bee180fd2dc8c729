"""`serve`: a gateway from its start to SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mesh.client.mesh import Mesh
from mesh.clock import SystemClock
from mesh.gateway.address import Address
from mesh.gateway.gateway import Gateway
from mesh.gateway.limits import Limits
from mesh.gateway.open_files import make_room
from mesh.gateway.site import Site
from mesh.gateway.tokens import Tokens
from mesh.gateway.webhooks.service import Sending, Webhooks
from mesh.gateway.webhooks.signing import key_of
from mesh.gateway.webhooks.targets import Targets
from mesh.jobs.journals.streams import ensure_streams
from mesh.jobs.owning.liveness import seat_of
from mesh.settings.target import ServerTarget
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a gateway was started with. `token` and `secret` are the secrets themselves, `bound` a file of further tokens."""

    address: Address
    token: str = field(repr=False)
    secret: str = field(repr=False)
    bound: Path | None = None
    targets: Targets = field(default_factory=Targets)
    sending: Sending = field(default_factory=Sending)
    limits: Limits = field(default_factory=Limits)


async def serve(
    settings: Settings, server: ServerTarget, namespace: str, ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` is told the URL.

    Raises:
        BadSettings: a secret or the certificate cannot be used. Unavailable: no server, or the address is taken.
    """
    make_room(settings.limits.connections)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    telemetry = Telemetry(SystemClock().now, JsonLines())
    async with (
        Mesh.connect(server, namespace=namespace, name="gateway", telemetry=telemetry) as mesh,
        opened(mesh, settings) as site,
    ):
        telemetry.emit("gateway.ready", url=site.url, process=mesh.process)
        ready(site.url)
        await stop.wait()
        telemetry.emit("gateway.draining", url=site.url)


@asynccontextmanager
async def opened(mesh: Mesh, settings: Settings) -> AsyncIterator[Site]:
    """A gateway that listens, on a mesh; it drains at the end. The first in a mesh makes the streams of jobs.

    Raises:
        BadSettings: a secret or the certificate cannot be used. Unavailable: the store is out of reach, or the address taken.
    """
    peer, key = mesh.peer, key_of(settings.secret)
    tokens = Tokens(settings.token, settings.bound)
    await ensure_streams(peer.store, peer.subjects)
    webhooks = Webhooks(seat_of(peer), settings.targets, key, sending=settings.sending)
    async with webhooks:
        gateway = Gateway(mesh=mesh, tokens=tokens, webhooks=webhooks, limits=settings.limits)
        async with Site(gateway, settings.address) as site:
            yield site
