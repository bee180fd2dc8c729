"""Hard constraints first, then the lowest cost: what is chosen, and how that is explained."""

from __future__ import annotations

import sys
from collections import Counter
from random import Random

import msgspec
import pytest

from mesh.protocols.acts import Bid
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.scoring import score
from mesh.protocols.selection import Choice, Offer, SelectionPolicy, choose, rank

ANY = Constraints()


def candidate(name: str, *, proposal: str = "p", labels: dict[str, str] | None = None, **bid: object) -> Candidate:
    return Candidate(
        agent="agent",
        instance=name,
        process=name,
        proposal=proposal,
        labels=labels or {},
        bid=Bid(**bid),  # type: ignore[arg-type]
    )


def chosen(*candidates: Candidate, constraints: Constraints = ANY, remaining: float = 10.0, seed: int = 1) -> Choice:
    return choose(candidates, constraints, remaining, SelectionPolicy(), Random(seed))


@pytest.mark.parametrize(
    ("broken", "constraints", "why"),
    [
        (candidate("x", capacity=0), ANY, "capacity"),
        (candidate("x", latency=11.0), ANY, "deadline"),
        (candidate("x", success=0.01), ANY, "floor"),
        (candidate("x", price=0.2), Constraints(budget=Budget(money=0.1)), "budget"),
        (candidate("x", latency=2.0), Constraints(budget=Budget(wall_time=1.0)), "budget"),
        (candidate("x"), Constraints(boundary="eu"), "boundary"),
        (candidate("x"), Constraints(labels={"gpu": "yes"}), "labels"),
    ],
)
def test_no_price_makes_up_for_a_broken_constraint(broken: Candidate, constraints: Constraints, why: str) -> None:
    fitting = candidate("ok", labels={"boundary": "eu", "gpu": "yes"}, latency=0.9, price=0.1, success=0.2)
    choice = chosen(broken, fitting, constraints=constraints)
    assert choice.winner is not None
    assert choice.winner.instance == "ok"
    assert choice.candidates[0].rejected_because.startswith(f"{why}:")


def test_the_lowest_sum_of_cost_latency_and_risk_wins() -> None:
    policy = SelectionPolicy()
    cheap, quick, safe = (
        candidate("a", price=0.001, latency=3.0),
        candidate("b", latency=1.0),
        candidate("c", latency=1.5),
    )
    risky = candidate("d", latency=0.5, success=0.8)
    totals = {each.instance: score(each, policy).total for each in (cheap, quick, safe, risky)}
    assert totals == pytest.approx({"a": 3.1, "b": 1.0, "c": 1.5, "d": 1.5})
    assert chosen(cheap, quick, safe, risky).winner.instance == "b"  # type: ignore[union-attr]


def test_broken_commitments_make_a_bid_riskier() -> None:
    kept, broken = candidate("a", latency=1.0), candidate("b", latency=0.9)
    broken = Candidate(**{**{f: getattr(broken, f) for f in broken.__struct_fields__}, "reputation": 0.5})
    assert chosen(kept, broken).winner.instance == "a"  # type: ignore[union-attr]


def test_equal_proposals_are_drawn_at_random() -> None:
    equals = [candidate(name, latency=1.0) for name in "abc"]
    wins = Counter(chosen(*equals, seed=seed).winner.instance for seed in range(300))  # type: ignore[union-attr]
    assert set(wins) == {"a", "b", "c"}
    assert min(wins.values()) > 60


def test_the_best_of_fresh_proposals_always_wins() -> None:
    bids = [candidate("a", latency=1.0), candidate("b", latency=1.2)]
    assert {chosen(*bids, seed=seed).winner.instance for seed in range(50)} == {"a"}  # type: ignore[union-attr]


def test_of_standing_bids_one_of_the_two_best_wins_the_better_more_often() -> None:
    bids = [candidate(name, proposal="", latency=latency) for name, latency in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    wins = Counter(chosen(*bids, seed=seed).winner.instance for seed in range(600))  # type: ignore[union-attr]
    assert set(wins) == {"a", "b"}
    assert wins["a"] / wins["b"] == pytest.approx(2.0, rel=0.25)


def test_standing_bids_that_cost_nothing_are_drawn_evenly() -> None:
    bids = [candidate(name, proposal="") for name in "ab"]
    wins = Counter(chosen(*bids, seed=seed).winner.instance for seed in range(400))  # type: ignore[union-attr]
    assert min(wins.values()) > 150


def test_the_reason_is_a_sentence_with_figures() -> None:
    bids = [candidate("a", price=0.002, latency=1.0), candidate("b", latency=2.0)]
    assert chosen(*bids).reason == (
        "lowest cost 1.20 of 2: agent.a at 1.20 (price 0.20, latency 1.00, risk 0.00); "
        "next agent.b at 2.00 (price 0.00, latency 2.00, risk 0.00)"
    )
    assert chosen(bids[0]).reason.startswith("the only acceptable bid: agent.a at 1.20")


def test_if_none_is_acceptable_the_reason_says_why_of_each() -> None:
    choice = chosen(candidate("a", capacity=0, queue=3), candidate("b", latency=99.0))
    assert choice.winner is None
    assert choice.reason == (
        "none of 2 is acceptable: agent.a: capacity: 3 waiting or running, room for no more; "
        "agent.b: deadline: it expects 99.00 s, 10.00 s are left"
    )
    assert chosen().reason == "nobody made a proposal"


MOST = sys.float_info.max
"""What somebody bids who would rather not have the work."""


@pytest.mark.parametrize("figure", ["price", "latency"])
@pytest.mark.parametrize("value", [MOST, -MOST, 1e12])
@pytest.mark.parametrize("proposal", ["", "p"])
def test_a_bid_beyond_all_measure_wins_nothing_and_its_record_can_be_read(
    figure: str, value: float, proposal: str
) -> None:
    """Its cost was infinite: that made the draw fall on it, and an award in a journal that nobody could read."""
    absurd, fitting = (
        candidate("x", proposal=proposal, **{figure: value}),
        candidate("ok", proposal=proposal, price=0.1),
    )
    for seed in range(10):
        choice = chosen(absurd, fitting, seed=seed, remaining=MOST)
        assert choice.winner is not None
        assert choice.winner.instance == "ok"
        assert choice.candidates[0].rejected_because.startswith("declined: its bid makes no sense")
        record = AwardRecord(
            award="a", conversation="c", capability="do", mode="directed", winner=choice.winner.key,
            reason=choice.reason, at=0.0, candidates=choice.candidates,
        )  # fmt: skip
        assert msgspec.json.decode(msgspec.json.encode(record), type=AwardRecord) == record
    offers = [Offer(each.bid, {}) for each in (absurd, fitting)]
    assert [place for _, place in rank(offers, ANY, MOST, SelectionPolicy())] == [1]
