"""nats-py, imported without aiohttp.

nats-py imports aiohttp (some 200 ms) whenever it is installed, and needs it for WebSocket URLs only. While its modules load
we hide it; `with_websockets` gives it back when such a URL is really used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OPTIONAL = ("aiohttp", "multidict")


@contextmanager
def _hidden() -> Iterator[None]:
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _hidden():
    from nats.aio import client, subscription, transport
    from nats.errors import Error, StaleConnectionError, UnexpectedEOF

Client = client.Client
Server = client.Server
Subscription = subscription.Subscription
TcpTransport = transport.TcpTransport
Transport = transport.Transport

__all__ = [
    "Client",
    "Error",
    "Server",
    "StaleConnectionError",
    "Subscription",
    "TcpTransport",
    "Transport",
    "UnexpectedEOF",
    "with_websockets",
]


def with_websockets() -> None:
    """Give nats-py what it needs for ws:// and wss:// URLs. Again: nothing happens.

    Raises:
        ImportError: aiohttp is not installed.
    """
    import aiohttp
    import multidict

    vars(transport).update(aiohttp=aiohttp, multidict=multidict)
