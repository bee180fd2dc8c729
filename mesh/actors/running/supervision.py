"""`Supervision`: when a crashed actor starts again, and when it is given up. Sans-IO: it is told, and answers.

One-for-one: only the actor that crashed is restarted, with a fresh state and its old mailbox and record. An exception of a
handler is a failed call, not a crash, unless it is `Poisoned`, there is nothing left to work with (`exhausted`: what the old
state held is free then), or the calls before it failed as well.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from mesh.actors.running.exhaustion import exhausted
from mesh.protocols.transitions import follow


class Poisoned(Exception):
    """Raise it in a handler when the actor's own state can no longer be trusted: the actor is restarted."""


TRANSITIONS: dict[str, dict[str, str]] = {
    "starting": {"started": "ready", "crashed": "restarting", "escalated": "failed", "stopped": "stopped"},
    "ready": {"crashed": "restarting", "escalated": "failed", "drained": "draining", "stopped": "stopped"},
    "restarting": {"restarted": "starting", "drained": "draining", "stopped": "stopped"},
    "draining": {"stopped": "stopped", "crashed": "draining", "escalated": "failed"},
    "failed": {"stopped": "stopped"},
    "stopped": {},
}
"""The life of an actor: state → step → state."""

MEANINGS = {
    "started": "`on_start` returned",
    "crashed": "`on_start` raised, a handler raised `Poisoned` or had nothing left, or too many calls in a row raised",
    "restarted": "the backoff is over; a fresh actor is made",
    "escalated": "too many crashes within the window: given up, and told upwards",
    "drained": "no more work is taken; what waits is finished",
    "stopped": "`on_stop` has run",
}


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` crashes within `window` seconds are survived, each after a doubled backoff (`first` to `longest` seconds).

    `patience` is how many calls in a row may raise before that counts as a crash.
    """

    first: float = 0.1
    longest: float = 10.0
    limit: int = 5
    window: float = 60.0
    patience: int = 10


class Supervision:
    """The restarts of one actor."""

    __slots__ = ("_crashes", "_in_a_row", "_random", "policy", "restarts", "state")

    def __init__(self, policy: RestartPolicy, source: random.Random) -> None:
        self.policy = policy
        self.state = "starting"
        self.restarts = 0
        self._random = source
        self._crashes: Sequence[float] = ()
        self._in_a_row = 0

    def step(self, name: str) -> str:
        """Take a step of the table, and return the new state."""
        self.state = follow(TRANSITIONS, self.state, name)
        return self.state

    def succeeded(self) -> None:
        """A call came back."""
        self._in_a_row = 0

    def raised(self, error: BaseException) -> bool:
        """A handler raised something that is not a typed refusal: is that a crash?"""
        self._in_a_row += 1
        return isinstance(error, Poisoned) or exhausted(error) or self._in_a_row >= self.policy.patience

    def crashed(self, now: float) -> float | None:
        """It crashed at `now`: how many seconds until it starts again, or None when it is given up."""
        self._in_a_row = 0
        self._crashes = [at for at in self._crashes if at > now - self.policy.window] + [now]
        if len(self._crashes) > self.policy.limit:
            self.step("escalated")
            return None
        self.step("crashed")
        self.restarts += 1
        longest: float = min(self.policy.longest, self.policy.first * 2 ** (len(self._crashes) - 1))
        return longest * self._random.uniform(0.5, 1.0)
