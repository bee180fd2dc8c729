"""The first connection: succeeds, or says what was tried and what to do."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.protocols.errors import Unavailable
from mesh.settings.target import ServerTarget
from mesh.transport.nats.library import Client, Error, UnexpectedEOF, with_websockets
from mesh.transport.nats.options import connect_options

log = logging.getLogger("mesh.transport")

LEAVE_WITHIN = 2.0


@dataclass(frozen=True)
class Callbacks:
    """What the one who dials wants to hear later on. None of these may raise."""

    reconnected: Callable[[], Awaitable[None]]
    disconnected: Callable[[], Awaitable[None]] | None = None
    complaint: Callable[[Exception], None] | None = None


class _Complaints:
    """What nats-py reports while it runs. It must never raise: that would end nats-py's read loop."""

    def __init__(self, tell: Callable[[Exception], None] | None) -> None:
        self.last: Exception | None = None
        self.connected = False
        self._tell = tell

    async def hear(self, error: Exception) -> None:
        self.last = error
        expected = not self.connected or isinstance(error, (OSError, UnexpectedEOF))
        log.log(logging.DEBUG if expected else logging.WARNING, "nats-py says: %s", str(error) or type(error).__name__)
        if self._tell is not None:
            self._tell(error)


async def dial(
    client: Client, target: ServerTarget, name: str, source: random.Random, timeout: float, callbacks: Callbacks
) -> None:
    """Connect `client` to `target`; from then on it reconnects without end.

    Raises:
        Unavailable: no server answered in time, or it refused us.
    """
    complaints = _Complaints(callbacks.complaint)
    options = connect_options(target, name, source)
    options |= {
        "error_cb": complaints.hear,
        "reconnected_cb": _coroutine(callbacks.reconnected),
        "disconnected_cb": _coroutine(callbacks.disconnected),
    }
    if any(url.startswith("ws") for url in target.urls):
        with_websockets()
    try:
        async with asyncio.timeout(timeout):
            await client.connect(**options)
    except (OSError, Error, TimeoutError) as error:
        await abandon(client, LEAVE_WITHIN)
        raise Unavailable(_advice(target, complaints.last or error)) from (complaints.last or error)
    complaints.connected = True
    client.options["max_reconnect_attempts"] = -1
    _name_again(client, target.urls)


def _name_again(client: Client, urls: tuple[str, ...]) -> None:
    """Who was given up while dialling is tried again later on. Whom a server has named stays: it may be all that is left of a
    cluster of which we were told one."""
    known = client.servers
    given_up = [url for url in urls if urlsplit(url).netloc not in {each.netloc for each in known}]
    if given_up:
        client.set_server_pool([*given_up, *(each.geturl() for each in known)])


async def abandon(client: Client, timeout: float) -> None:
    """Close a client, and do not wait for one that cannot: nats-py may swallow a cancellation and wait on."""
    closing = asyncio.get_running_loop().create_task(_close(client), name="closing nats-py")
    await asyncio.wait({closing}, timeout=timeout)
    closing.cancel()


async def _close(client: Client) -> None:
    try:
        await client.close()
    except (OSError, Error) as error:
        log.debug("a client did not close cleanly: %s", error)


def _coroutine(callback: Callable[[], Awaitable[None]] | None) -> Callable[[], Awaitable[None]] | None:
    """nats-py takes functions that were written with `async def` and no others."""
    if callback is None:
        return None

    async def call() -> None:
        await callback()

    return call


def _advice(target: ServerTarget, cause: Exception) -> str:
    where = f"{target.url} (from {target.source})" if target.source else target.url
    said = str(cause) or type(cause).__name__
    if "authorization" in said.lower() or "authentication" in said.lower():
        return f"the NATS server at {where} refused the credentials: {said}. Check user, token or credentials file"
    if isinstance(cause, ConnectionResetError):  # a refusal is followed by a reset, which may overtake its words
        return f"the NATS server at {where} cut the login: it has probably refused the credentials. Check user, token or credentials file"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS connection to {where}: {said}. Name the certificate authority (NATS_CA, or the context's `ca`)"
    return f"no NATS server answers at {where}: {said}. Start one with `mesh up`, or name another with --server"
