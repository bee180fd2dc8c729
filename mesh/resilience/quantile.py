"""`Quantile`: a running estimate of a quantile of durations, whose past fades. Sans-IO.

A histogram of logarithmic buckets: each is a tenth wider than the one before, so an estimate is off by a twentieth at most,
and there are some two hundred of them from a microsecond to an hour. When `memory` values have been counted all counts are
halved: the newest `memory` weigh as much as all before them, and what was measured long ago is forgotten.
"""

from __future__ import annotations

import math

GROWTH = math.log(1.1)
SHORTEST = 1e-6
"""Seconds; anything shorter counts as that."""


class Quantile:
    """Of durations in seconds, with `share` of them below it (0.95: the p95)."""

    __slots__ = ("_buckets", "_memory", "_since", "_weight", "count", "share")

    def __init__(self, share: float, memory: int = 500) -> None:
        if not 0.0 < share < 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, not at {share}")
        self.share = share
        self.count = 0
        self._memory = memory
        self._since = 0
        self._weight = 0.0
        self._buckets: dict[int, float] = {}

    def add(self, seconds: float) -> None:
        """One more was measured."""
        bucket = math.floor(math.log(max(SHORTEST, seconds)) / GROWTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0.0) + 1.0
        self._weight += 1.0
        self.count += 1
        self._since += 1
        if self._since >= self._memory:
            self._fade()

    def estimate(self) -> float | None:
        """The upper end of the bucket in which it lies; None: nothing was measured."""
        wanted, below = self.share * self._weight, 0.0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            if below >= wanted - 1e-9:
                return math.exp((bucket + 1) * GROWTH)
        return None

    def _fade(self) -> None:
        self._since = 0
        self._buckets = {bucket: half for bucket, count in self._buckets.items() if (half := count / 2) >= 0.5}
        self._weight = sum(self._buckets.values())
