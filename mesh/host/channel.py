"""What a worker and its supervisor say to each other over their private socket: one JSON object a line.

The supervisor speaks once, first: the `Orders`. After that only the worker speaks; the socket's end tells either that the
other is gone.
"""

from __future__ import annotations

import msgspec

from mesh.host.manifest import Limits
from mesh.settings.target import ServerTarget


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker needs to know. Travels over the socket, for it may carry credentials.

    `patience`: for so many seconds it may wait for its name, which its predecessor may still hold, and for a server that is away.
    `grace`: for so many it may drain.
    """

    token: str
    host: str
    namespace: str
    target: ServerTarget
    kind: str
    use: str
    folder: str
    instances: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    capacity: int | None = None
    labels: dict[str, str] = {}
    limits: Limits = Limits()
    repositories: tuple[str, ...] = ()
    grace: float = 10.0
    patience: float = 20.0
    beat_every: float = 1.0


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """One instance that a worker runs."""

    agent: str
    instance: str
    version: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Every instance is registered. `files`: the code it has loaded from below the manifest's folder."""

    hosted: tuple[Hosted, ...] = ()
    files: tuple[str, ...] = ()


class Pulsed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="beat"):
    """A heartbeat from the event loop. `lag`: how late the loop woke, in seconds; `idle`: seconds since something was handled."""

    lag: float = 0.0
    handled: int = 0
    idle: float | None = None
    connected: bool = True


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It cannot start, or cannot go on. `hopeless`: the same code fails again."""

    message: str
    hopeless: bool = False
    files: tuple[str, ...] = ()


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="gone"):
    """It has drained; the process ends now."""


Report = Ready | Pulsed | Failed | Gone

_reports = msgspec.json.Decoder(Report)


def line(message: msgspec.Struct) -> bytes:
    """The message as one line."""
    return msgspec.json.encode(message) + b"\n"


def parse_report(text: bytes) -> Report:
    """The report in a line.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    report: Report = _reports.decode(text)
    return report
