"""What is believed of a bidder beyond its bid, out of the sums in `conduct.py`. Pure.

Whatever is believed of a ratio (delivered / promised) or of a share (kept / given) comes of one formula, the mean of the
evidence and of a prior that counts as much as `PRIOR` calls:

    believed = (Σ weight · seen + PRIOR · prior) / (Σ weight + PRIOR)

For shares this is the mean of a beta distribution with a base rate (Jøsang & Ismail, "The Beta Reputation System", 2002),
for ratios Bühlmann's credibility ("Experience rating and credibility", 1967). The prior is 1: a promise is believed until
there is evidence. Ratios are of sums, Σ delivered / Σ promised: seconds and money are what costs, and a mean of logarithms
would make quick and erratic bidders look better than they are. The spread is that of the logarithms.

A ratio that may be chance is none: it counts only beyond `SURE` standard errors and `DEAD_ZONE`. So honest bidders leave
nothing behind, and choosing among them costs nothing.

What other processes tell is bounded: a word counts as `WORD` calls at most, its ratios are cut to `HEARD`, and of the words
on failures and broken commitments the worst is left out. So the word of one at most doubles the time and the
price that are expected, and takes nothing from a bidder's good name; that takes two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from mesh.protocols.conduct import Conduct

PRIOR = 4.0
"""A promise is believed as if so many calls had kept it."""
SURE = 2.0
"""So many standard errors lie between chance and evidence."""
ENOUGH = 2.5
"""And from so many calls on: three in a row, faded."""
DEAD_ZONE = 0.1
"""Ratios within this share of 1 are 1."""
ERRATIC = 0.5
"""The spread (standard deviation of the logarithm) assumed of a bidder with no calls; as heavy as the prior."""
WORD = 4.0
"""The word of another process counts as so many calls at most."""
HEARD = 3.0
"""And its ratios are cut to between this and its inverse."""
OWN = 100.0
"""Ratios that were measured here are cut, too, but wider."""
INHERITED = 0.5
"""A new version starts with this share of what was learned of the version before."""


class Learned(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What is believed of a bidder beyond its bid; all ones: nothing.

    `latency` and `price` are ratios of what comes to what is promised, `charge` is money for a call that costs nothing by
    its bid, `success` multiplies the success it claims, `reputation` is the share of commitments that it keeps. `calls` is
    the weight of the evidence. `newcomer` marks one that is known from too few calls to be chosen on its word.
    """

    latency: float = 1.0
    price: float = 1.0
    charge: float = 0.0
    success: float = 1.0
    reputation: float = 1.0
    calls: float = 0.0
    newcomer: bool = False

    @property
    def telling(self) -> bool:
        """Whether it makes any difference to a choice."""
        return self.newcomer or not (
            self.latency == self.price == self.success == self.reputation == 1.0 and self.charge == 0.0
        )


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """All there is on one version: what was seen here, and what other processes say."""

    own: Conduct | None = None
    words: tuple[Conduct, ...] = ()

    @property
    def tried(self) -> float:
        """Awards in all; of another's word only a few count."""
        return (self.own.tried if self.own else 0.0) + sum(min(WORD / 2.0, each.tried) for each in self.words)

    @property
    def weight(self) -> float:
        """In calls."""
        return (self.own.weight if self.own else 0.0) + sum(min(WORD, each.weight) for each in self.words)


Part = tuple[float, float]
"""A weight in calls, and what was seen."""
Seen = Callable[[Conduct], Part]


def believed(parts: Iterable[Part], prior: float = 1.0, weight: float = PRIOR) -> float:
    """The formula above."""
    total, mean = weight, weight * prior
    for calls, seen in parts:
        total += calls
        mean += calls * seen
    return mean / total


def learn(evidence: Evidence, before: Learned | None = None) -> Learned:
    """What this evidence teaches; `before` is what was believed of the version before."""
    before = before or Learned()
    return Learned(
        latency=_latency(evidence, _inherited(before.latency)),
        price=_price(evidence, _inherited(before.price)),
        charge=_charge(evidence),
        success=_success(evidence, _inherited(before.success)),
        reputation=_rounded(_share(evidence, _commitments, _inherited(before.reputation))),
        calls=evidence.weight,
    )


def departs(own: Conduct, whole: Conduct, common: Learned) -> Learned | None:
    """What is believed of one instance, where it is not as its version is; None if it is, as far as can be told.

    `own` is its record, `whole` that of the version, of which `common` is believed.
    Time and commitments are its own: those depend on where it runs. Money and quality are its version's.
    """
    latency, reputation = common.latency, common.reputation
    ratio, usual = own.ratio, whole.ratio  # 0 of what is so nearly forgotten that the seconds do not count any more
    if ratio and usual and _sure(ratio / usual, own.calls, own.spread):
        latency = believed([(own.calls, _cut(ratio, OWN))], latency)
    if own.broken > 0.05:
        reputation = min(reputation, believed([_commitments(own)], reputation, PRIOR / 2.0))
    if latency == common.latency and reputation >= 0.99 * common.reputation:
        return None
    return msgspec.structs.replace(common, latency=latency, reputation=_rounded(reputation))


def _inherited(value: float) -> float:
    return 1.0 + INHERITED * (value - 1.0)


def _latency(evidence: Evidence, prior: float) -> float:
    parts = [(min(WORD, each.calls), _cut(each.ratio, HEARD)) for each in evidence.words if each.ratio is not None]
    spreads = [(min(WORD, each.calls), each.spread**2) for each in evidence.words]
    if evidence.own is not None and evidence.own.ratio is not None:
        parts.append((evidence.own.calls, _cut(evidence.own.ratio, OWN)))
        spreads.append((evidence.own.calls, evidence.own.spread**2))
    ratio, calls = believed(parts, prior), sum(weight for weight, _ in parts)
    seen = believed(parts, prior, 0.0) if calls > 0.0 else prior
    spread = math.sqrt(believed(spreads, ERRATIC**2))
    certain = prior != 1.0 or _beyond_chance(seen, calls, spread)
    return ratio if certain and abs(ratio - 1.0) > DEAD_ZONE else 1.0


def _sure(ratio: float, calls: float, spread: float) -> bool:
    whole = math.sqrt(believed([(calls, spread**2)], ERRATIC**2))
    return abs(ratio - 1.0) > DEAD_ZONE and _beyond_chance(ratio, calls, whole)


def _beyond_chance(ratio: float, calls: float, spread: float) -> bool:
    return calls >= ENOUGH and abs(math.log(max(ratio, 1e-9))) > SURE * spread / math.sqrt(calls)


def _price(evidence: Evidence, prior: float) -> float:
    parts = [
        (min(WORD, each.priced), _cut(each.paid / each.asked, HEARD))
        for each in evidence.words
        if each.priced > 0.0 and each.asked > 0.0
    ]
    own = evidence.own
    if own is not None and own.priced > 0.0 and own.asked > 0.0:
        parts.append((own.priced, _cut(own.paid / own.asked, OWN)))
    ratio = believed(parts, prior)
    return ratio if abs(ratio - 1.0) > DEAD_ZONE else 1.0


def _charge(evidence: Evidence) -> float:
    """Money a call where none was asked: only what was paid here is believed, for money has no measure to cut it to."""
    own = evidence.own
    return own.unasked / (own.weight + PRIOR) if own is not None and own.unasked > 0.0 else 0.0


def _success(evidence: Evidence, prior: float) -> float:
    """How far claims of success come true."""
    claims = _share(evidence, _claims, prior, most=1.0 / DEAD_ZONE)
    calls = sum(weight for weight, _ in _parts(evidence, _claims))
    share = min(1.0, claims)
    chance = SURE * math.sqrt(max(share * (1.0 - share), 1e-9) / calls) if calls > 0.0 else 0.0
    if prior == 1.0 and abs(claims - 1.0) < max(chance, DEAD_ZONE / 2.0):
        claims = 1.0
    return _rounded(claims)


def _claims(conduct: Conduct) -> Part:
    return (conduct.claimed, conduct.succeeded / conduct.claimed) if conduct.claimed > 0.0 else (0.0, 1.0)


def _commitments(conduct: Conduct) -> Part:
    given = conduct.kept + conduct.broken
    return (given, conduct.kept / given) if given > 0.0 else (0.0, 1.0)


def _share(evidence: Evidence, seen: Seen, prior: float, most: float = 1.0) -> float:
    parts = [(weight, min(most, share)) for weight, share in _parts(evidence, seen)]
    return believed(parts, prior, PRIOR / 2.0 if seen is _commitments else PRIOR)


def _parts(evidence: Evidence, seen: Seen) -> Sequence[Part]:
    """Of the words the worst is left out: nobody is condemned on the word of one."""
    words = sorted((seen(each) for each in evidence.words), key=lambda part: part[1])[1:]
    parts = [(min(WORD, weight), min(1.0, share)) for weight, share in words]
    return parts if evidence.own is None else [*parts, seen(evidence.own)]


def _cut(ratio: float | None, most: float) -> float:
    return 1.0 if ratio is None else min(most, max(1.0 / most, ratio))


def _rounded(share: float) -> float:
    return 1.0 if share > 0.99 and share < 1.01 else share
