"""`RetryPolicy`: which failed attempts are made again, and after how long. Pure.

An attempt is repeated when the work was certainly not begun, or when repeating it is harmless: the effect is `pure` or
`idempotent` and the error is transient. At most three attempts, and in one layer only: whoever has asked the one that
failed. Its error says so when it goes on up (`detail.retried`), and nobody above repeats what led to it.
"""

from __future__ import annotations

import random

import msgspec

from mesh.protocols.constraints import Effect
from mesh.protocols.errors import BreakerOpen, Killed, MeshError, Transient

HARMLESS: tuple[Effect, ...] = ("pure", "idempotent")
RETRIED = "retried"
"""Stands in the detail of a transient error that has come to its caller: so many attempts were made there."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`attempts` in all; full jitter up to `first · 2ⁿ` seconds, never above `longest`."""

    attempts: int = 3
    first: float = 0.05
    longest: float = 2.0

    def pause(self, attempt: int, error: BaseException | None, source: random.Random) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); at least the error's `retry_after`."""
        jittered = source.uniform(0.0, min(self.longest, self.first * 2 ** (attempt - 1)))
        asked = error.retry_after if isinstance(error, MeshError) else None
        return jittered if asked is None else asked + jittered


def not_begun(error: BaseException) -> bool:
    """Whether the receiver said (or the server, that there is none) that the work was not begun."""
    return isinstance(error, MeshError) and error.detail.get("begun") is False


def repeatable(error: BaseException, effect: Effect) -> bool:
    """Whether another attempt is safe, and may help."""
    if not isinstance(error, Transient) or isinstance(error, BreakerOpen | Killed) or RETRIED in error.detail:
        return False
    return not_begun(error) or effect in HARMLESS


def mark(error: MeshError, attempts: int = 1) -> None:
    """The error leaves the layer that may repeat. Again: what was said first stands."""
    if isinstance(error, Transient):
        error.detail.setdefault(RETRIED, attempts)
