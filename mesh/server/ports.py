"""Which port the embedded server takes: its last one, else 4222, else a free one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from mesh.server.greeting import NotNats, greet
from mesh.settings.target import DEFAULT_PORT

LOOPBACK = "127.0.0.1"
_TRIES = 5


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    """A port that is free now; somebody may take it before we do."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def candidates(remembered: int | None) -> Iterator[int]:
    """The ports to try, in order: the one this folder had, else 4222, then free ones."""
    preferred = remembered or DEFAULT_PORT
    if is_free(preferred):
        yield preferred
    for _ in range(_TRIES):
        yield any_free()


def holder(port: int) -> str:
    """Who answers on a port that is taken, in words."""
    try:
        greeting = greet(LOOPBACK, port, 0.5)
    except NotNats:
        return "a program that is no nats-server"
    except OSError:
        return "another program"
    return f"nats-server {greeting.version} ({greeting.server_name})"


def remember(path: Path, port: int) -> None:
    """Keep the port for the next start."""
    path.write_text(f"{port}\n", "ascii")


def remembered(path: Path) -> int | None:
    """The port of the last start, if one is known."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
