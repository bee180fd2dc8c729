"""Who gets the award: hard constraints first, then the lowest cost. Pure; randomness is handed in.

A bid must satisfy labels, data boundary, deadline, budget, capacity and the floor; no price makes up for that. Among the
acceptable the smallest sum of three penalties wins, all in the policy's one unit, which by default is a second:

    cost    = price_weight · price                 money, at the price of a second
    latency = latency_weight · latency             expected seconds until a result, waiting included
    risk    = risk_weight · (1 - success · reputation)     what a failure costs, times how likely it is

These are the figures of the bid, corrected by what was `Learned` of the bidder (`expected`). Who would, by that, come too
late or cost more than there is, is as one who fails for certain: it is not ruled out, since what was learned may be over.

Proposals are binding and fresh, so the best takes the award (ties at random). Standing bids are up to a heartbeat old, and
everyone sees the same ones: taking the best would send every initiator to the same instance, so the two best of a small
sample are drawn from by weight.

Newcomers, of whom too little is known to be chosen on their word, come after everybody who is known; but a share `explore`
of the choices is open to them. There each has a bonus of `total / √(calls + 1)`, as optimistic as little is known of it (the
idea of UCB: Auer, Cesa-Bianchi & Fischer, 2002), and takes the award if it is then the cheapest, and asks no more than
`explore_price` times what the best known one does. So what is at stake is bounded, by the share and by the price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from mesh.protocols.acts import ABSURD, Bid
from mesh.protocols.awards import Candidate, Score
from mesh.protocols.constraints import Constraints
from mesh.protocols.learned import Learned
from mesh.protocols.newcomers import admitted, bonus
from mesh.protocols.scoring import cost, score


class SelectionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The weights and limits of a choice, and the patience of an auction. All times in seconds.

    `price_weight`, `latency_weight` and `risk_weight` turn money, seconds and certain failure into the one unit;
    `floor` is the least success rate that is acceptable at all; bids within `tie` of the best (as a share) are equal.

    Newcomers get the share `explore` of awards at most, each at no more than `explore_price` times the best known price.

    `sample` standing bids are looked at; after `declines` declined standing awards, `directed` instances are asked
    instead. Proposals are awaited for `window`. When nobody is acceptable but might be soon, the call is opened again,
    until `rounds` rounds were held and `busy` seconds have passed (places that become free meanwhile not counted), with a
    `pause` that doubles between rounds, unless told better.

    `patience` is the wait for the first answer to an award, `probe` for that to a probe, of which there are `probes`; a
    running award is probed each `check`. After an outage of the server, winners have `grace` to find back. `awards` is how
    many winners may be lost.
    """

    price_weight: float = 100.0
    latency_weight: float = 1.0
    risk_weight: float = 5.0
    floor: float = 0.05
    tie: float = 0.001
    explore: float = 0.1
    explore_price: float = 2.0
    sample: int = 5
    directed: int = 3
    window: float = 0.25
    rounds: int = 5
    busy: float = 2.0
    pause: float = 0.1
    declines: int = 1
    patience: float = 0.25
    probe: float = 0.25
    probes: int = 2
    check: float = 5.0
    grace: float = 3.0
    awards: int = 4


class Choice(NamedTuple):
    """Every candidate with its score or the reason against it, the winner if there is one, and why in words."""

    candidates: tuple[Candidate, ...]
    winner: Candidate | None
    reason: str
    explored: bool = False


class Chooser(Protocol):
    """How a winner is chosen: `choose`, or something that takes the same and gives the same."""

    def __call__(
        self,
        candidates: tuple[Candidate, ...],
        constraints: Constraints,
        remaining: float,
        policy: SelectionPolicy,
        random: Random,
        *,
        known: int = 0,
    ) -> Choice:
        """Judge all candidates and name the winner, if any is acceptable."""


def objection(candidate: Candidate, constraints: Constraints, remaining: float, policy: SelectionPolicy) -> str:
    """The first hard constraint that the candidate breaks, as `<reason>: <words>`; empty when it is acceptable."""
    return candidate.rejected_because or breach(candidate.bid, candidate.labels, constraints, remaining, policy.floor)


def breach(bid: Bid, labels: dict[str, str], constraints: Constraints, remaining: float, floor: float = 0.0) -> str:
    """The first hard constraint that a bid with these labels breaks, as `<refusal reason>: <words>`, or nothing.

    Both sides ask this: a participant before it bids, an initiator before it awards.
    """
    budget = constraints.budget
    if not bid.sane:
        return f"declined: its bid makes no sense: price {bid.price:g}, {bid.latency:g} s, success {bid.success:g}"
    if bid.capacity <= 0:
        return f"capacity: {bid.queue} waiting or running, room for no more"
    if constraints.boundary and labels.get("boundary") != constraints.boundary:
        return f"boundary: {constraints.boundary!r} is demanded, it declares {labels.get('boundary', '')!r}"
    for name, value in constraints.labels.items():
        if labels.get(name) != value:
            return f"labels: {name}={value!r} is demanded, it has {labels.get(name, '')!r}"
    if bid.latency > remaining:
        return f"deadline: it expects {bid.latency:.2f} s, {remaining:.2f} s are left"
    if budget.wall_time is not None and bid.latency > budget.wall_time:
        return f"budget: it expects {bid.latency:.2f} s, {budget.wall_time:.2f} s may be spent"
    if budget.money is not None and bid.price > budget.money:
        return f"budget: it asks {bid.price:g}, {budget.money:g} may be spent"
    if bid.success < floor:
        return f"floor: it succeeds in {bid.success:.0%} of calls, {floor:.0%} are demanded"
    return ""


def spent(bid: Bid, taken: int) -> Bid:
    """The bid without the places that are taken since it was made."""
    if not taken:
        return bid
    return msgspec.structs.replace(bid, capacity=max(0, bid.capacity - taken), queue=bid.queue + taken)


class Offer(msgspec.Struct, gc=False):
    """A standing bid as it stands in the directory: what a candidate is made of, should anybody want to read it.

    `taken` are our own awards that the bid does not know of yet; `objection` rules it out whatever it says; it was `heard`
    at that time, if ever.
    """

    bid: Bid
    labels: dict[str, str]
    taken: int = 0
    learned: Learned | None = None
    objection: str = ""
    heard: float | None = None


def rank(
    offers: Sequence[Offer], constraints: Constraints, remaining: float, policy: SelectionPolicy
) -> list[tuple[float, int]]:
    """The acceptable of these by cost, each with its place among them: what `choose` does, without a word of explanation."""
    found, demanding = [], constraints.demanding
    floor = policy.floor
    for index, offer in enumerate(offers):
        bid, taken = offer.bid, offer.taken
        if offer.objection or bid.capacity <= taken or bid.latency > remaining or bid.success < floor:
            continue
        if not (0.0 <= bid.price < ABSURD and 0.0 <= bid.latency < ABSURD) or bid.success > 1.0:  # not `sane`
            continue
        if demanding and breach(spent(bid, taken), offer.labels, constraints, remaining, floor):
            continue
        found.append((cost(bid, policy, offer.learned, constraints, remaining), index))
    found.sort()
    return found


def judge(
    candidates: Iterable[Candidate], constraints: Constraints, remaining: float, policy: SelectionPolicy
) -> tuple[Candidate, ...]:
    """Each candidate with its score, if it has one, and with the reason where it is not acceptable. Earlier objections are
    kept."""
    return tuple(
        msgspec.structs.replace(
            each,
            score=score(each, policy, constraints, remaining) if each.bid.sane else None,
            rejected_because=objection(each, constraints, remaining, policy),
        )
        for each in candidates
    )


def choose(
    candidates: Iterable[Candidate],
    constraints: Constraints,
    remaining: float,
    policy: SelectionPolicy,
    random: Random,
    *,
    known: int = 0,
) -> Choice:
    """The choice among these: the best proposal, or one of the two best standing bids; at times a newcomer.

    `remaining` is the seconds until the deadline, `known` how many instances the standing bids were sampled from.
    """
    judged = judge(candidates, constraints, remaining, policy)
    acceptable = sorted((_total(each), place) for place, each in enumerate(judged) if not each.rejected_because)
    ranked, explored = admitted(acceptable, judged, policy, random)
    if not ranked:
        return Choice(judged, None, _why_none(judged))
    if explored:
        return _explored(judged, judged[ranked[0][1]], policy)
    return _choice(judged, [judged[place] for _, place in ranked], policy, known, random)


def share(first: float, second: float) -> float:
    """The chance of the better of the two best standing bids: half the cost, twice the chance."""
    return (second + _EVEN) / (first + second + 2 * _EVEN)


def explain(
    candidates: Iterable[Candidate],
    winner: str,
    constraints: Constraints,
    remaining: float,
    policy: SelectionPolicy,
    random: Random,
    *,
    known: int = 0,
    explored: bool = False,
) -> Choice:
    """The choice among these that fell on the one whose key is `winner`: what `choose` says of it."""
    judged = judge(candidates, constraints, remaining, policy)
    won = next(each for each in judged if each.key == winner)
    if explored:
        return _explored(judged, won, policy)
    acceptable = sorted((each for each in judged if not each.rejected_because), key=_total)
    ranked = [each for each in acceptable if not (each.learned and each.learned.newcomer)] or acceptable
    return _choice(judged, ranked, policy, known, random, winner)


def _choice(
    judged: tuple[Candidate, ...],
    ranked: Sequence[Candidate],
    policy: SelectionPolicy,
    known: int,
    random: Random,
    fell: str = "",
) -> Choice:
    """Of those in `ranked`; on the one whose key is `fell`, if it is known on whom the choice fell."""
    if ranked[0].proposal or len(ranked) == 1:
        return Choice(judged, *_best(ranked, policy, random, fell))
    chance = share(_total(ranked[0]), _total(ranked[1]))
    first = ranked[0].key == fell if fell else random.random() < chance
    return Choice(judged, *_drawn(ranked, chance, max(known, len(judged)), first=first))


def _explored(judged: Sequence[Candidate], won: Candidate, policy: SelectionPolicy) -> Choice:
    """The choice that was open to newcomers, and fell on one."""
    told = tuple(_with_bonus(each) for each in judged)
    winner = next(each for each in told if each.key == won.key)
    others = [each for each in told if not each.rejected_because and not (each.learned and each.learned.newcomer)]
    beaten = f" instead of {_cost(min(others, key=_total))}" if others else ""
    calls = winner.learned.calls if winner.learned else 0.0
    return Choice(
        told,
        winner,
        f"a newcomer with {calls:.1f} calls is tried{beaten}: {_cost(winner)}; {policy.explore:.0%} of awards are open to newcomers",
        True,
    )


def _with_bonus(candidate: Candidate) -> Candidate:
    learned, parts = candidate.learned, candidate.score
    if learned is None or parts is None or not learned.newcomer or candidate.rejected_because:
        return candidate
    return msgspec.structs.replace(
        candidate, score=msgspec.structs.replace(parts, bonus=bonus(parts.total, learned.calls))
    )


def _total(candidate: Candidate) -> float:
    return candidate.score.total if candidate.score else 0.0


def best(ranked: Sequence[tuple[float, int]], policy: SelectionPolicy, random: Random) -> int:
    """The place of the cheapest of these, as `rank` has ranked them; of equals, one by chance."""
    limit = _limit(ranked[0][0], policy)
    equal = [place for cost, place in ranked if cost <= limit]
    return equal[0] if len(equal) == 1 else random.choice(equal)


def _limit(least: float, policy: SelectionPolicy) -> float:
    return least * (1.0 + policy.tie) + 1e-9


def _best(
    ranked: Sequence[Candidate], policy: SelectionPolicy, random: Random, fell: str = ""
) -> tuple[Candidate, str]:
    limit = _limit(_total(ranked[0]), policy)
    equal = [each for each in ranked if _total(each) <= limit]
    drawn = [each for each in equal if each.key == fell] or equal
    winner = random.choice(drawn) if len(drawn) > 1 else drawn[0]
    if len(ranked) == 1:
        return winner, f"the only acceptable bid: {_cost(winner)}"
    if len(equal) > 1:
        return (
            winner,
            f"lowest cost {_total(winner):.2f} of {len(ranked)}, drawn among {len(equal)} equals: {_cost(winner)}",
        )
    return winner, f"lowest cost {_total(winner):.2f} of {len(ranked)}: {_cost(winner)}; next {_cost(ranked[1])}"


def _drawn(ranked: Sequence[Candidate], share: float, known: int, *, first: bool) -> tuple[Candidate, str]:
    winner, other = (ranked[0], ranked[1]) if first else (ranked[1], ranked[0])
    chance = share if first else 1.0 - share
    return winner, (
        f"standing bid {_cost(winner)}, drawn with {chance:.0%} against {_cost(other)}: "
        f"the best two of {len(ranked)} acceptable, {known} known"
    )


_EVEN = 1e-6
"""Two bids that cost nothing are equally good."""


def _cost(candidate: Candidate) -> str:
    parts = candidate.score or Score()
    bonus = f", bonus -{parts.bonus:.2f}" if parts.bonus else ""
    return (
        f"{candidate.agent}.{candidate.instance} at {parts.total:.2f} "
        f"(price {parts.cost:.2f}, latency {parts.latency:.2f}, risk {parts.risk:.2f}{bonus})"
    )


def _why_none(judged: Sequence[Candidate]) -> str:
    if not judged:
        return "nobody made a proposal"
    objections = "; ".join(f"{each.agent}.{each.instance}: {each.rejected_because}" for each in judged[:5])
    more = f"; and {len(judged) - 5} more" if len(judged) > 5 else ""
    return f"none of {len(judged)} is acceptable: {objections}{more}"
