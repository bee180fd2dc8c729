"""`Limits`: how much of itself a gateway lends to whoever connects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times are in seconds, sizes in bytes. A request's body may be as large as a message of the mesh's server."""

    connections: int = 1024
    """TLS handshakes included. Above this, a connection is answered 503 and closed; with TLS, closed."""
    streams: int = 256
    """Event streams and long polls that wait at the same time; above this 429."""
    line: int = 8190
    """The request line, and each header."""
    headers: int = 64
    idle: float = 20.0
    """Until a connection has sent a whole head, the first or the next."""
    request: float = 30.0
    """A request's whole time, its body included; what waits for a job has `wait` beside it."""
    linger: float = 2.0
    """For the rest of a body that was refused, so that whoever sends it reads the answer."""
    write: float = 30.0
    """Until a reader has taken some of what was written: of an event stream all of it; anybody else's connection is ended by the
    kernel (on Linux), soon after."""
    wait: float = 60.0
    """The longest long poll."""
    heartbeat: float = 15.0
    """Between two comments on an event stream on which nothing happens."""
    grace: float = 20.0
    """For what is under way when the gateway is told to stop."""
    page: int = 200
    """The most rows of one page."""
