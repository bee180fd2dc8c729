"""`RetryBudget`: retries may be at most a tenth of the calls to a target, so that a failing one is not buried in them."""

from __future__ import annotations


class RetryBudget:
    """A bucket: each call puts `share` in, each retry takes one out; `reserve` is there at first, for quiet targets."""

    __slots__ = ("_left", "most", "share")

    def __init__(self, share: float = 0.1, reserve: float = 3.0, most: float = 20.0) -> None:
        self.share = share
        self.most = most
        self._left = reserve

    def called(self) -> None:
        """A first attempt was made."""
        if self._left < self.most:
            self._left = min(self.most, self._left + self.share)

    def spend(self) -> bool:
        """May a retry be made? If so, it is taken from the budget."""
        if self._left < 1.0 - 1e-9:
            return False
        self._left -= 1.0
        return True

    @property
    def left(self) -> float:
        """How many retries are left."""
        return self._left
