"""nats-py, imported without what it loads and we do not use: it takes a fourth of the time it would.

While its modules load they find these missing, or empty; whoever imports them later gets the real ones:
    aiohttp, multidict    some 200 ms, for WebSocket URLs only: `with_websockets` gives them back
    nats.js               40 ms of dataclasses for JetStream, which we speak ourselves
    importlib.metadata    13 ms to read nats-py's version, which it tells the server when it connects
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_STAND_INS: dict[str, ModuleType | None] = {
    "aiohttp": None,
    "multidict": None,
    "importlib.metadata": None,
    "nats.js": ModuleType("nats.js"),
}
"""What stands in `sys.modules` meanwhile; None means that it is not installed."""


@contextmanager
def _light() -> Iterator[None]:
    stand_ins = {name: module for name, module in _STAND_INS.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


with _light():
    import nats
    from nats.aio import client
    from nats.errors import Error, SlowConsumerError, StaleConnectionError, UnexpectedEOF


def _part(name: str) -> Any:
    """The part of nats-py that was left out, loaded now: `nats.js`, if a program uses that beside us."""
    if name != "js":
        raise AttributeError(f"module 'nats' has no attribute {name!r}")
    return importlib.import_module("nats.js")


if not hasattr(nats, "js"):
    vars(nats)["__getattr__"] = _part

Client = client.Client
Server = client.Server

__all__ = [
    "Client",
    "Error",
    "Server",
    "SlowConsumerError",
    "StaleConnectionError",
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
    from nats.aio import transport

    vars(transport).update(aiohttp=aiohttp, multidict=multidict)
