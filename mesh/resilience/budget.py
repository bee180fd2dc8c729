"""`RetryBudget`: retries may be at most a tenth of the calls to a target, so that a failing one is not buried in them.

`RetryBudgets` are those of one process, by the name that callers use. Whatever is sent again that may have begun, or that was
not answered, takes from the same one: an ask's next attempt, its variations, and the award that follows one whose winner was
lost. Whom else to ask when somebody has no room is no retry: whoever declines an award has answered, and begun nothing.
"""

from __future__ import annotations

LIMIT = 10_000
"""More targets than this are not remembered."""


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


class RetryBudgets:
    """The budgets of one process, each made when its target is first called."""

    __slots__ = ("_budgets",)

    def __init__(self) -> None:
        self._budgets: dict[str, RetryBudget] = {}

    def of(self, target: str) -> RetryBudget:
        """The budget of a target: an agent, an instance or a capability, as callers name it."""
        found = self._budgets.get(target)
        if found is None:
            if len(self._budgets) >= LIMIT:
                self._budgets.clear()
            found = self._budgets[target] = RetryBudget()
        return found
