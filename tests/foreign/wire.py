"""One connection to NATS, spoken by hand: the client protocol of docs.nats.io over a plain socket, and nothing else.

Everything below `tests/foreign` that is not a test is what a stranger would write who has `docs/wire-protocol.md` and no
line of our code: it imports nothing from `mesh`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Headers = dict[str, str]


class Message(NamedTuple):
    """What came on a subscription. `status` is the server's own word: 503 for nobody there, 404, 204."""

    subject: str
    reply: str
    data: bytes
    headers: Headers
    status: str


class Wire:
    """`info` is the server's greeting: it names this connection (`server_id`, `client_id`). `refused` is what the server
    did not let us do."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, info: dict[str, Any], inbox: str
    ) -> None:
        self.info = info
        self.refused: list[str] = []
        self._reader, self._writer = reader, writer
        self._handlers: dict[str, Callable[[Message], None]] = {}
        self._waiting: dict[str, asyncio.Queue[Message]] = {}
        self._pongs: asyncio.Queue[None] = asyncio.Queue()
        self._inbox = f"_INBOX.{inbox}"
        self._reading = asyncio.create_task(self._read())
        self.subscribe(f"{self._inbox}.*", self._answered)

    @classmethod
    async def open(cls, url: str, **login: str) -> Wire:
        host, port = url.removeprefix("nats://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        info = json.loads((await reader.readline()).removeprefix(b"INFO "))
        options = {"verbose": False, "lang": "by hand", "headers": True, "no_responders": True, **login}
        writer.write(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
        if (greeting := await reader.readline()) != b"PONG\r\n":
            raise ConnectionError(greeting.decode())
        return cls(reader, writer, info, login.get("user") or secrets.token_hex(8))

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def inbox(self) -> str:
        """A subject of our own that nobody else uses."""
        return f"{self._inbox}.{secrets.token_hex(8)}.x"

    def subscribe(self, subject: str, handler: Callable[[Message], None]) -> None:
        sid = str(len(self._handlers) + 1)
        self._handlers[sid] = handler
        self._writer.write(f"SUB {subject} {sid}\r\n".encode())

    def publish(
        self, subject: str, data: bytes = b"", reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        if head:
            block = f"NATS/1.0\r\n{head}\r\n".encode()
            line = f"HPUB {subject} {reply} {len(block)} {len(block) + len(data)}\r\n"
            self._writer.write(line.encode() + block + data + b"\r\n")
        else:
            self._writer.write(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    async def flush(self) -> None:
        """Until the server has taken everything that was said so far: a subscription is in force from then on."""
        self._writer.write(b"PING\r\n")
        await asyncio.wait_for(self._pongs.get(), 30)

    async def request(
        self, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None, *, until: str = ""
    ) -> list[Message]:
        """The answer; with `until`, every answer up to the one with that status (or 404)."""
        token = secrets.token_hex(8)
        answers = self._waiting[token] = asyncio.Queue()
        self.publish(subject, data, f"{self._inbox}.{token}", headers)
        found: list[Message] = []
        try:
            async with asyncio.timeout(30):
                while not found or (until and found[-1].status not in (until, "404")):
                    found.append(await answers.get())
        finally:
            del self._waiting[token]
        return found

    def _answered(self, message: Message) -> None:
        answers = self._waiting.get(message.subject.rpartition(".")[2])
        if answers is not None:
            answers.put_nowait(message)

    async def _read(self) -> None:
        while line := await self._reader.readline():
            verb, *rest = line.decode().split()
            if verb == "PING":
                self._writer.write(b"PONG\r\n")
            elif verb == "PONG":
                self._pongs.put_nowait(None)
            elif verb in ("MSG", "HMSG"):
                self._deliver(rest, await self._reader.readexactly(int(rest[-1]) + 2), verb == "HMSG")
            elif verb == "-ERR":
                self.refused.append(line.decode().strip())

    def _deliver(self, rest: list[str], body: bytes, has_headers: bool) -> None:
        sizes = 2 if has_headers else 1
        subject, sid, reply = rest[0], rest[1], rest[2] if len(rest) == 3 + sizes else ""
        size = int(rest[-2]) if has_headers else 0
        first, *lines = body[:size].decode().split("\r\n")
        headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        status = first.removeprefix("NATS/1.0").strip()[:3]
        self._handlers[sid](Message(subject, reply, body[size:-2], headers, status))
