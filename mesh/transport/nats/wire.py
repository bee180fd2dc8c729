"""The seam below `NatsBus`: a connection that carries frames, as bytes, and comes back by itself.

Two make it true: `FastWire`, which reads and writes the socket itself, and `PlainWire`, which uses nothing but what nats-py
offers everybody. What the mesh promises about messages is made above the seam, once; below it they differ in speed only.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mesh.settings.target import ServerTarget
from mesh.transport.nats.parser import Receiver


@dataclass(frozen=True)
class Told:
    """What a wire tells about itself. None of these may raise or block."""

    lost: Callable[[], None]
    """The connection broke; another one is being made."""
    back: Callable[[], None]
    """There is a connection again, with every subscription in place."""
    denied: Callable[[str], None]
    """The server refuses a subject, in these words."""
    slow: Callable[[str], None]
    """The server, or what stands in for it, had more for us than we took; the words say what came of it."""


class Wire(Protocol):
    """A connection to a server. All but `dial` and `close` return at once, and happen in the order of the calls."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""

    @property
    def identity(self) -> tuple[str, int]:
        """(server id, client id) of the present connection, or the last one."""

    @property
    def cluster(self) -> str:
        """The name of the cluster that the server belongs to; empty where it stands alone."""

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have, header block included."""

    @property
    def waiting(self) -> int:
        """Bytes that were published and could not be given to the connection yet."""

    async def dial(self, target: ServerTarget, name: str, source: random.Random, timeout: float) -> None:
        """Make the first connection.

        Raises:
            Unavailable: no server answered in time, or it refused us.
        """

    def listen(self, subject: str, queue: str, receiver: Receiver) -> int:
        """Subscribe, over reconnects too; returns the number that ends it. The server knows before it hears anything that
        is published after this."""

    def unlisten(self, sid: int) -> None:
        """End a subscription: `receiver` is not called any more. Again: nothing happens."""

    def leave(self, sid: int) -> None:
        """End a subscription, but hear what the server has sent by the time it knows. Again: nothing happens."""

    def publish(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        """Send a message now, or once there is a connection again; `reply` and `block` may be empty."""

    def ping(self, pong: asyncio.Future[bool]) -> None:
        """Resolve `pong` when the server has taken everything published so far. When the connection is lost before that,
        it fails with `Unavailable`."""

    async def close(self) -> None:
        """End the connection for good; what could not leave within a moment is lost."""
