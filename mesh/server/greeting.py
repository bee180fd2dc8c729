"""`Greeting`: the INFO line with which a nats-server greets whoever connects.

Enough to know that a server is ready, which one it is, and how old; no client library is needed for it.
"""

from __future__ import annotations

import asyncio
import socket

import msgspec

_LONGEST = 64 * 1024


class NotNats(Exception):
    """Something listens there, but it is no nats-server."""


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What the mesh needs of the INFO line."""

    server_id: str
    server_name: str = ""
    version: str
    jetstream: bool = False
    max_payload: int = 0
    auth_required: bool = False


def parse_greeting(line: bytes) -> Greeting:
    """The greeting in the first line a server sends.

    Raises:
        NotNats: it is not one.
    """
    verb, _, body = line.strip().partition(b" ")
    if verb.upper() != b"INFO":
        raise NotNats("it did not greet like a nats-server")
    try:
        return msgspec.json.decode(body, type=Greeting)
    except msgspec.MsgspecError as error:
        raise NotNats(f"its greeting cannot be read: {error}") from error


def greet(host: str, port: int, timeout: float) -> Greeting:
    """Connect, read the greeting, hang up; blocks at most about `timeout` seconds.

    Raises:
        NotNats: something else answers.
        OSError: nobody answers (refused, timed out, no such host).
    """
    line = b""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        while not line.endswith(b"\n") and len(line) < _LONGEST:
            chunk = connection.recv(4096)
            if not chunk:
                raise NotNats("it hung up without a greeting")
            line += chunk
            line = line.partition(b"\n")[0] + b"\n" if b"\n" in line else line
    return parse_greeting(line)


async def greet_async(host: str, port: int, timeout: float) -> Greeting:
    """The same for an event loop.

    Raises:
        NotNats · OSError · TimeoutError: as `greet`.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port, limit=_LONGEST)
        try:
            return parse_greeting(await reader.readline())
        finally:
            writer.close()
