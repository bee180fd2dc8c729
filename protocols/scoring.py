"""What a bid costs whoever gives the work away: its figures, corrected by what was learned of the bidder. Pure.

The formula stands in `selection.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mesh.protocols.acts import Bid
from mesh.protocols.awards import USUAL, Candidate, Score, Weights
from mesh.protocols.conduct import GRAIN
from mesh.protocols.constraints import Constraints
from mesh.protocols.learned import Learned

if TYPE_CHECKING:
    from mesh.protocols.selection import SelectionPolicy

_ANYTHING = Constraints()


class Expected(NamedTuple):
    """What is expected of a bidder: money, seconds, and the chance that it does what it was given."""

    price: float
    latency: float
    success: float


def expected(bid: Bid, learned: Learned) -> Expected:
    """The bid, corrected by what was learned: `(latency + GRAIN) · ratio - GRAIN`, `price · ratio + charge`."""
    return Expected(
        bid.price * learned.price + learned.charge,
        max(0.0, (bid.latency + GRAIN) * learned.latency - GRAIN),
        min(1.0, bid.success * learned.success) * learned.reputation,
    )


def cost(
    bid: Bid,
    policy: SelectionPolicy,
    learned: Learned | None = None,
    constraints: Constraints = _ANYTHING,
    remaining: float = math.inf,
) -> float:
    """What a bid costs, by the formula above: the total of `score`."""
    price, latency, success = bid.price, bid.latency, bid.success
    if learned is not None:
        price, latency, success = _feasible(bid, learned, constraints, remaining)
    return policy.price_weight * price + policy.latency_weight * latency + policy.risk_weight * (1.0 - success)


def score(
    candidate: Candidate,
    policy: SelectionPolicy,
    constraints: Constraints = _ANYTHING,
    remaining: float = math.inf,
) -> Score:
    """The same in its parts."""
    if candidate.learned is None:
        price, latency, success = likely(candidate)
    else:
        price, latency, success = _feasible(candidate.bid, candidate.learned, constraints, remaining)
    return Score(
        cost=policy.price_weight * price,
        latency=policy.latency_weight * latency,
        risk=policy.risk_weight * (1.0 - success),
    )


def likely(candidate: Candidate) -> Expected:
    """What is expected of a candidate."""
    bid = candidate.bid
    if candidate.learned is None:
        return Expected(bid.price, bid.latency, bid.success * candidate.reputation)
    return expected(bid, candidate.learned)


def _feasible(bid: Bid, learned: Learned, constraints: Constraints, remaining: float) -> Expected:
    """As `expected`, with no success for who is expected to come too late, or to cost more than there is."""
    found, budget = expected(bid, learned), constraints.budget
    late = found.latency > remaining or (budget.wall_time is not None and found.latency > budget.wall_time)
    dear = budget.money is not None and found.price > budget.money
    return Expected(found.price, found.latency, 0.0) if late or dear else found


def weights(policy: SelectionPolicy | None) -> Weights:
    """The weights of a choice, for its record."""
    if policy is None:
        return USUAL
    found = Weights(
        price=policy.price_weight, latency=policy.latency_weight, risk=policy.risk_weight, explore=policy.explore
    )
    return USUAL if found == USUAL else found
