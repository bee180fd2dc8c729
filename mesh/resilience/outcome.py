"""What the ending of a call says of its target: only errors that are its own fault count against it."""

from __future__ import annotations

import asyncio

from mesh.protocols.errors import MeshError
from mesh.resilience.breaker import Outcome


def outcome(error: BaseException | None) -> Outcome:
    """`ignored` are the caller's mistakes, cancellations, refusals for want of room, and interrupts of the program."""
    if error is None:
        return "success"
    if isinstance(error, MeshError):
        return "failure" if error.blame == "target" else "ignored"
    if isinstance(error, asyncio.CancelledError):
        return "ignored"
    return "ignored" if not isinstance(error, Exception) else "failure"
