"""The answers to one call for proposals: who has answered, what they offer, and what speaks against it.

Part of an auction. A tender is `asking` until the call is out, `collecting` until it closes, and `paused` before the next
round; proposals count in the first two and are late in the third.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.acts import Refusal
from mesh.protocols.auction_messages import Called, Proposed
from mesh.protocols.awards import Candidate

PASSING = frozenset({"capacity", "draining", "expired", "declined", "breaker", "unknown"})
"""Objections that may be gone in the next round."""
SOONEST = 0.005
"""Seconds. Whoever says to come back sooner, or before now, is not asked again without end."""


class Tender:
    """One round. Times are on the initiator's monotonic clock."""

    def __init__(self) -> None:
        self.phase: Literal["asking", "collecting", "paused"] = "asking"
        self.due: float | None = None
        self.known = 0
        self.refusals: list[Refusal] = []
        self._offers: dict[str, tuple[Candidate, float]] = {}
        self._waiting: frozenset[str] = frozenset()
        self._answered: set[str] = set()

    def called(self, event: Called, closes: float, deadline: float) -> bool:
        """The call is out until `closes`. Returns whether nothing more is to be waited for."""
        self.phase, self.due, self.known = "collecting", closes, event.known
        for each in event.candidates:
            self._offers.setdefault(each.key, (each, deadline))
        self._waiting = event.expected - self._answered
        return bool(event.candidates) or (bool(event.expected) and not self._waiting)

    def proposed(self, event: Proposed, now: float) -> bool:
        """A process answered. Again: the first answer of each instance counts. Returns whether all have answered now."""
        keys = {event.by, *(f"{event.by}.{each.agent}.{each.instance}" for each in event.refusals)}
        if not keys <= self._answered:
            self.refusals.extend(event.refusals)
        for each in event.candidates:
            if each.process == event.by:
                self._offers.setdefault(each.key, (each, now + each.valid_for))
                keys.add(each.key)
        return self.answered(keys)

    def answered(self, keys: set[str]) -> bool:
        """These need not be waited for. Returns whether that was the last of them."""
        self._answered |= keys
        before, self._waiting = self._waiting, self._waiting - keys
        return self.phase == "collecting" and bool(before) and not self._waiting

    def pause(self, until: float) -> None:
        """The round has brought nothing; the next one starts at `until`."""
        self.phase, self.due = "paused", until
        self._offers.clear()

    def lists(self, candidate: Candidate) -> bool:
        """Whether this very proposal is among those that came in time."""
        offer = self._offers.get(candidate.key)
        return offer is not None and offer[0].proposal == candidate.proposal

    def object(self, key: str, why: str) -> None:
        """Rule a candidate out. `why` begins with the reason's code and a colon."""
        if key in self._offers:
            each, until = self._offers[key]
            self._offers[key] = (msgspec.structs.replace(each, rejected_because=why), until)

    def candidates(self, now: float) -> tuple[Candidate, ...]:
        """All that were offered, the lapsed ones ruled out."""
        for key, (each, until) in list(self._offers.items()):
            if until <= now and not each.rejected_because:
                self.object(key, "expired: the proposal lapsed")
        return tuple(each for each, _ in self._offers.values())

    def dismiss(self, winner: str) -> list[Candidate]:
        """Rule everybody but the winner out, and say who must be told: those whose proposal was still good."""
        losers = [each for each, _ in self._offers.values() if each.key != winner and not each.rejected_because]
        for each in losers:
            self.object(each.key, "outbid: told so")
        return [each for each in losers if each.proposal]

    def hint(self, candidates: tuple[Candidate, ...]) -> float:
        """In how many seconds somebody may have room again, as they say or their figures do; 0 if nobody knows."""
        full = (each.bid for each in candidates if each.rejected_because.startswith("capacity"))
        told = [max(SOONEST, each.retry_after) for each in self.refusals if each.retry_after]
        return min([*told, *(bid.latency / max(1, bid.queue) for bid in full)], default=0.0)

    def hopeless(self, candidates: tuple[Candidate, ...]) -> bool:
        """Whether every answer was a no that another round would not change. Silence may change."""
        reasons = [each.rejected_because.partition(":")[0] for each in candidates]
        reasons += [each.reason for each in self.refusals]
        return bool(reasons) and not any(reason in PASSING for reason in reasons)

    @property
    def complete(self) -> bool:
        """Whether everybody expected has answered."""
        return self.phase == "collecting" and not self._waiting

    @property
    def silent(self) -> bool:
        """Whether nobody answered anything."""
        return not self._offers and not self.refusals
