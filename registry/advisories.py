"""The server's word that a connection ended: who hears it knows of a killed process milliseconds later.

Matched by server and client id, which the lease holds; never by the connection's name, which anybody can claim.
"""

from __future__ import annotations

import logging

import msgspec

logger = logging.getLogger("mesh.registry")

Connection = tuple[str, int]
"""(server id, client id)."""

GONE = frozenset({"Client Closed", "Read Error", "Write Error", "Stale Connection"})
"""The reasons, in the server's words, for which the other end is to blame."""


class _Server(msgspec.Struct, frozen=True):
    id: str


class _Client(msgspec.Struct, frozen=True):
    id: int


class Disconnected(msgspec.Struct, frozen=True):
    """`io.nats.server.advisory.v1.client_disconnect`, as far as it is needed. `reason` is the server's own words."""

    server: _Server
    client: _Client
    reason: str = ""

    @property
    def connection(self) -> Connection:
        """Which connection ended."""
        return (self.server.id, self.client.id)

    @property
    def speaks_of_death(self) -> bool:
        """Whether the other end went away. A server that shuts down or throws a client out says nothing of the process."""
        return self.reason in GONE


_decoder = msgspec.json.Decoder(Disconnected)


def disconnected(data: bytes) -> Disconnected | None:
    """The advisory in `data`, or None (and a log line) if it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        logger.warning("not a disconnect advisory, ignored: %s", error)
        return None
