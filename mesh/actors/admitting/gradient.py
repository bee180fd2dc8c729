"""`Gradient`: how many calls an actor should handle at once, found out from how long they take. Sans-IO.

After `Gradient2Limit` of Netflix' concurrency-limits (https://github.com/Netflix/concurrency-limits), itself after TCP Vegas.
Once a window of calls has ended:

    gradient = clamp(TOLERANCE · long / short, 0.5, 1)      short: mean time of a call in this window
    wanted   = limit · gradient + √limit                    √limit: calls that may queue further down (Netflix: 4)
    limit   += SMOOTHING · (wanted - limit)                 between the floor and the capacity that was declared

`long` differs from there. A mean over all windows forgets, in a long overload, how fast calls can be, and the limit creeps up
for ever. Here it is learnt only where at most half of the limit was in use: by chance, or because every so many windows
the limit is halved for one, as TCP BBR's ProbeRTT does (N. Cardwell et al., "BBR: Congestion-Based Congestion Control",
ACM Queue 2016). If twice the calls take twice the time each, the knee is behind us. Each command has a `long` of its own,
and `short` is told as a multiple of it: a change in what is asked is no change of speed.

A window is made of the calls *begun* one after the other since the limit changed, and is over when they all have ended: of
those that end first, too many would be short ones.
"""

from __future__ import annotations

from math import ceil, sqrt

TOLERANCE = 1.25
"""Calls that take so many times as long are not slow yet."""
SMOOTHING = 0.8
WINDOW = 10
"""Calls in a window, at least; else as many as the limit."""
PROBE = 30
"""Windows between two probes while nothing is slow; `SOON` where something is, for then `long` may be outdated."""
SOON = 3
LEARNT = 0.5
"""How much one window counts for `long`."""


class Gradient:
    """The limit of one actor, between `floor` and `most`. It begins at `most`: as many as its author said, until measured.

    Each call is told twice: `began` gives a ticket, `ended` takes it back.
    """

    __slots__ = (
        "_at_once", "_begun", "_dropped", "_ended", "_estimate", "_long", "_number", "_probe_in", "_probing", "_size", "_times",
        "floor", "limit", "most",
    )  # fmt: skip

    def __init__(self, most: int, floor: int = 1) -> None:
        self.most = most
        self.floor = floor
        self.limit = most
        """So many at once, now."""
        self._estimate = float(most)
        self._long: dict[str, float] = {}
        self._probing = False
        self._probe_in = SOON
        self._number = 0
        self._open()

    def _open(self) -> None:
        """The next window."""
        self._number += 1
        self._size = max(WINDOW, self.limit // 2)
        self._times: dict[str, list[float]] = {}
        self._begun = self._ended = self._at_once = 0
        self._dropped = False

    def long(self, command: str) -> float | None:
        """Seconds that a call of `command` takes where nothing is in its way; None: not known yet."""
        return self._long.get(command)

    def began(self, at_once: int) -> int:
        """A call has begun, and so many run now, itself included."""
        if self._begun >= self._size:
            return 0
        self._begun += 1
        self._at_once = max(self._at_once, at_once)
        return self._number

    def ended(self, ticket: int, command: str, seconds: float | None, *, dropped: bool = False) -> bool:
        """It has ended after so many seconds; None: they say nothing (it was cancelled, or failed before it did anything).

        `dropped`: what the call needs said that it is overloaded. Returns whether the limit has changed by it.
        """
        if ticket != self._number:
            return False
        self._ended += 1
        self._dropped = self._dropped or dropped
        if seconds is not None:
            self._times.setdefault(command, []).append(seconds)
        return self._close() if self._ended >= self._size else False

    def _close(self) -> bool:
        """The window is over."""
        short, before = self._short(), self.limit
        if (self._probing or self._at_once <= self.limit / 2 or self.limit <= 2) and not self._dropped:
            self._learn()
        if not self._probing:
            self._judge(short)
        self._probing = self._probe_due()
        limit = self._estimate / 2 if self._probing else self._estimate
        self.limit = max(self.floor, min(self.most, ceil(limit)))
        self._open()
        return self.limit != before

    def _judge(self, short: float) -> None:
        """What this window says about the limit; unless less than half of it was in use: then nothing makes it larger."""
        slow = self._dropped or short > TOLERANCE
        self._probe_in = min(self._probe_in - 1, SOON) if slow else self._probe_in - 1
        if not slow and self._at_once <= self._estimate / 2:
            return
        gradient = 0.5 if self._dropped else min(1.0, max(0.5, TOLERANCE / short))
        wanted = self._estimate * gradient + (0.0 if self._dropped else sqrt(self._estimate))
        moved = self._estimate + SMOOTHING * (wanted - self._estimate)
        self._estimate = min(float(self.most), max(float(self.floor), moved))

    def _probe_due(self) -> bool:
        """Whether the next window is a probe; where the limit is two or less there is nothing to halve."""
        if self._probing or self._probe_in > 0 or self._estimate <= 2:
            return False
        self._probe_in = PROBE
        return True

    def _short(self) -> float:
        """How long the calls of this window took, as a multiple of how long they take otherwise."""
        ratios, count = 0.0, 0
        for command, times in self._times.items():
            usual = self._long.setdefault(command, sum(times) / len(times))
            ratios += sum(times) / usual if usual > 0 else len(times)
            count += len(times)
        return max(ratios / count, 1e-9) if count else 1.0

    def _learn(self) -> None:
        for command, times in self._times.items():
            self._long[command] += LEARNT * (sum(times) / len(times) - self._long[command])
