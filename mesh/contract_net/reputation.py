"""Which commitments were kept, as one initiator has seen it. Feeds the risk of the next bid's score."""

from __future__ import annotations

from collections import OrderedDict

WEIGHT = 0.25
"""How much the newest commitment counts."""
REMEMBERED = 10_000
"""Instances kept; those not heard of for longest go first."""


class Reputation:
    """The decayed `shares` of kept commitments, by instance key; 1.0 for whom nothing is known."""

    def __init__(self) -> None:
        self.shares: OrderedDict[str, float] = OrderedDict()

    def of(self, key: str) -> float:
        """The share, from 0 to 1."""
        return self.shares.get(key, 1.0)

    def settle(self, key: str, *, kept: bool) -> None:
        """A commitment was kept, or broken. Those without a blemish are not stored."""
        before = self.shares.get(key)
        if before is None and kept:
            return
        share = (1.0 if before is None else before) * (1.0 - WEIGHT) + WEIGHT * kept
        if share > 0.99:
            self.shares.pop(key, None)
            return
        self.shares[key] = share
        self.shares.move_to_end(key)
        if len(self.shares) > REMEMBERED:
            self.shares.popitem(last=False)
