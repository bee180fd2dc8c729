"""A server that says exactly what a test wants: for what a real one says only on a bad day."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

GREETING = {"server_id": "FAKE", "server_name": "fake", "version": "2.15.1", "max_payload": 1048576, "headers": True}


class FakeServer:
    """Greets clients, answers PING unless `silent`, and keeps the lines it heard. `connections` counts them, `ended` those that
    are over; `news` stands in its greeting. While `curt` it hangs up with its first PONG."""

    def __init__(self) -> None:
        self.connections = 0
        self.ended = 0
        self.news: dict[str, object] = {}
        self.silent = False
        self.curt = False
        self.refuse = b""
        self.heard: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""
        self.serving: set[asyncio.Task[None] | None] = set()

    async def say(self, text: bytes) -> None:
        """Write to the newest client."""
        self.writers[-1].write(text)
        await self.writers[-1].drain()

    def hang_up(self) -> None:
        """Close the newest connection."""
        self.writers[-1].close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        self.connections += 1
        self.writers.append(writer)
        greeting = msgspec.json.encode({**GREETING, **self.news, "client_id": self.connections})
        with contextlib.suppress(ConnectionError):
            writer.write(b"INFO " + greeting + b"\r\n")
            while line := await reader.readline():
                self.heard.append(line.strip())
                if line.startswith(b"PING") and not self.silent:
                    writer.write(self.refuse or b"PONG\r\n")
                    if self.curt:
                        break
        self.ended += 1
        writer.close()


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A running one, on a port of its own."""
    fake = FakeServer()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for writer in fake.writers:
            writer.close()
        await asyncio.gather(*(task for task in fake.serving if task), return_exceptions=True)
