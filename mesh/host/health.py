"""`/healthz` and `/readyz` over plain HTTP, for load balancers and orchestrators. GET and HEAD, one answer a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mesh.settings.errors import BadSettings

_TIMEOUT = 5.0
_LONGEST = 8192
_WORDS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
Checks = dict[str, Callable[[], tuple[bool, object]]]


class Health:
    """Answers each path of `checks` with 200 or 503 and what the check says, as JSON."""

    def __init__(self, address: str, checks: Checks) -> None:
        self._address = address
        self._checks = checks
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it was started."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def start(self) -> None:
        """Listen.

        Raises:
            BadSettings: the address cannot be had.
        """
        host, _, port = self._address.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._serve, host.strip("[]") or "127.0.0.1", int(port), limit=_LONGEST
            )
        except (OSError, ValueError, OverflowError) as error:
            raise BadSettings(
                f'health checks cannot listen on {self._address!r} ({error}); write something like "127.0.0.1:8080"'
            ) from error

    async def stop(self) -> None:
        """Listen no more. Again: nothing happens."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            with suppress(OSError):
                writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0].decode("latin-1")
        if method not in (b"GET", b"HEAD"):
            return _response(405, {"error": "only GET and HEAD"})
        check = self._checks.get(path)
        if check is None:
            return _response(404, {"paths": sorted(self._checks)})
        fine, detail = check()
        return _response(200 if fine else 503, detail, body=method == b"GET")


def _response(status: int, detail: object, *, body: bool = True) -> bytes:
    content = msgspec.json.encode(detail) + b"\n"
    head = (
        f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if body else b"")
