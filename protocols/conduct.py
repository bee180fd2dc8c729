"""How bidders keep their promises: decayed sums of what was promised and what came of it.

Pure: times are handed in. Each observation first fades what is there, by calls and by time:

    kept share = 2^(-1 / half-life in calls) · 2^(-seconds since / half-life in seconds)

What the sums teach is in `learned.py`.
"""

from __future__ import annotations

import math

import msgspec

from mesh.protocols.acts import Bid

GRAIN = 0.05
"""Seconds added to both sides of a ratio of times: what the way and the loops take says nothing of the bidder."""
LARGEST = 1e12
"""Sums beyond this are nonsense, whoever tells them."""


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """After so many calls, or so many seconds, what was seen counts half. Both at once."""

    calls: float = 30.0
    seconds: float = 600.0

    def kept(self, seconds: float, calls: float = 1.0) -> float:
        """What is left of the weight after so long, and so many calls."""
        return float(2.0 ** -(calls / self.calls + max(0.0, seconds) / self.seconds))

    def each(self, calls: float) -> float:
        """What each of so many calls counts on the average once all have come: the last one fully, those before it less."""
        one = 2.0 ** (-1.0 / self.calls)
        return float((1.0 - one**calls) / (calls * (1.0 - one))) if one < 1.0 else 1.0


class Conduct(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """The record of one bidder for one capability: decayed sums, except `tried`, the number of awards in all.

    Of the `calls` that were delivered: seconds `promised` and `delivered`, and the sums of the logarithm of their ratio
    (`logs`) and of its square (`squares`). Of those that succeeded or failed by its own fault: the success that it
    `claimed`, and what `succeeded`. Money `asked` and `paid` in the `priced` calls, and paid `unasked` in the others.
    Commitments `kept` and `broken`.
    """

    tried: float = 0.0
    calls: float = 0.0
    promised: float = 0.0
    delivered: float = 0.0
    logs: float = 0.0
    squares: float = 0.0
    claimed: float = 0.0
    succeeded: float = 0.0
    priced: float = 0.0
    asked: float = 0.0
    paid: float = 0.0
    unasked: float = 0.0
    kept: float = 0.0
    broken: float = 0.0

    # -- what happened

    def fade(self, share: float) -> None:
        """Keep this share of everything but `tried`."""
        self.calls *= share
        self.promised *= share
        self.delivered *= share
        self.logs *= share
        self.squares *= share
        self.claimed *= share
        self.succeeded *= share
        self.kept *= share
        if self.broken:
            self.broken *= share
        if self.priced or self.unasked:
            self.priced *= share
            self.asked *= share
            self.paid *= share
            self.unasked *= share

    def deliver(self, bid: Bid, seconds: float | None, money: float = 0.0) -> None:
        """It did what it was given, on this bid; in so many seconds, if they were measured. No money told: none is known."""
        self.tried += 1.0
        self.kept += 1.0
        self.claimed += bid.success
        self.succeeded += 1.0
        if seconds is not None:
            promised, delivered = max(0.0, bid.latency) + GRAIN, seconds + GRAIN
            log = math.log(delivered / promised)
            self.calls += 1.0
            self.promised += promised
            self.delivered += delivered
            self.logs += log
            self.squares += log * log
        if money > 0.0:
            money = min(money, LARGEST)
            if bid.price > 0.0:
                self.priced += 1.0
                self.asked += bid.price
                self.paid += money
            else:
                self.unasked += money

    def fail(self, bid: Bid) -> None:
        """It answered with a failure of its own: the commitment is kept, the work is not done."""
        self.tried += 1.0
        self.kept += 1.0
        self.claimed += bid.success

    def breach(self) -> None:
        """It broke a commitment: lost, silent until the deadline, or declined what it had bound itself to."""
        self.tried += 1.0
        self.broken += 1.0

    def revoke(self) -> None:
        """Something that it delivered was found wanting: that call has failed after all."""
        self.succeeded = max(0.0, self.succeeded - 1.0)

    def absorb(self, later: Conduct, share: float) -> None:
        """Add this share of what happened later, and all that was tried."""
        self.tried += later.tried
        self.calls += share * later.calls
        self.promised += share * later.promised
        self.delivered += share * later.delivered
        self.logs += share * later.logs
        self.squares += share * later.squares
        self.claimed += share * later.claimed
        self.succeeded += share * later.succeeded
        self.kept += share * later.kept
        if later.priced or later.unasked:
            self.priced += share * later.priced
            self.asked += share * later.asked
            self.paid += share * later.paid
            self.unasked += share * later.unasked

    # -- how it is passed on

    def faded(self, share: float) -> Conduct:
        """A copy that was faded."""
        copy = msgspec.structs.replace(self)
        copy.fade(share)
        return copy

    @property
    def sane(self) -> bool:
        """Whether these can be sums of anything: only that of the logarithms may be less than nothing."""
        values = msgspec.structs.astuple(msgspec.structs.replace(self, logs=abs(self.logs)))
        return all(0.0 <= each <= LARGEST for each in values)

    @property
    def weight(self) -> float:
        """How much evidence it is, in calls."""
        return max(self.calls, self.kept) + self.broken

    @property
    def ratio(self) -> float | None:
        """Seconds delivered / promised, as seen."""
        return self.delivered / self.promised if self.calls > 0.0 and self.promised > 0.0 else None

    @property
    def spread(self) -> float:
        """The standard deviation of the logarithm of that ratio."""
        if self.calls <= 0.0:
            return 0.0
        mean = self.logs / self.calls
        return math.sqrt(max(0.0, self.squares / self.calls - mean * mean))


class Statement(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What one process says in its beats of a version of an agent, as it is at that moment."""

    agent: str
    version: str
    capability: str
    conduct: Conduct
