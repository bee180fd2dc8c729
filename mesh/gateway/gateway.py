"""`Gateway`: what the routes of one gateway share, and the floor that they stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from mesh.client.mesh import Mesh
from mesh.gateway.limits import Limits
from mesh.gateway.tokens import Bearer, Tokens
from mesh.gateway.webhooks.service import Webhooks
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.protocols.errors import Overloaded


@dataclass(kw_only=True)
class Gateway:
    """One running gateway. `stopping` is set when it is to end: whatever waits for a job then waits no longer."""

    mesh: Mesh
    tokens: Tokens
    webhooks: Webhooks
    limits: Limits = field(default_factory=Limits)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    @property
    def journals(self) -> Journals:
        """The journals of its mesh."""
        return Journals(self.mesh.peer.store, self.mesh.peer.subjects)

    @property
    def values(self) -> Values:
        """What the journals name by reference."""
        return Values(self.mesh.peer.store, self.mesh.peer.subjects, self.mesh.peer.clock)

    @property
    def ready(self) -> bool:
        """Whether it takes requests that need the mesh."""
        return self.mesh.connected and not self.stopping.is_set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait for something to happen.

        Raises:
            Overloaded: all are taken.
        """
        if self.waiting >= self.limits.streams:
            raise Overloaded(f"{self.waiting} wait here already: come back in a moment", retry_after=2.0)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


GATEWAY = web.AppKey("gateway", Gateway)
BEARER = web.RequestKey("bearer", Bearer)
"""Who asks, once the token is known."""
SAID_KEY = web.RequestKey("idempotency key", str)
"""The key under which it counts once, given or made, before anything is done."""


def gateway_of(request: web.Request) -> Gateway:
    """The gateway that a request came to."""
    return request.app[GATEWAY]
