"""`Allowance`: what is left of a rate limit, as one process may count on it. Pure; a token bucket that needs no common clock.

    level    what all processes may still draw: it fills at `rate` a second up to `capacity`, and each draw is one
             compare-and-set of it
    slice    what this process has drawn and not used: good for `life` seconds from before it was drawn, then lost

Nobody's clock is compared with anybody else's. The level says nothing of time; whoever draws adds what has flowed in
*since it saw* the level it draws from, by its own monotonic clock. It saw it after it was written, and its draw only succeeds
if nothing was written since: so no second is ever counted twice, however clocks are set, and a process that was frozen
adds less than it might, never more.

In any `t` seconds all processes together use at most `capacity + 2 · rate · life + rate · t`: what is used was drawn at most
`life` before, and what is handed back was drawn at most `life` before that. `capacity` is `burst - 2 · rate · life`, so that is
`burst + rate · t`, exactly what the limit says. The test `test_limits_hold.py` draws with many processes and looks at every window.
"""

from __future__ import annotations

import msgspec

LIFE = 0.5
"""Seconds that a slice is good for, where the burst allows it."""
SHORTEST = 0.1
"""Seconds that a slice must be good for at least: drawing it takes a round trip to a disk."""
FOR_SLICES = 0.25
"""Of the burst, what may be given up so that slices are good for longer."""
SHARE = 0.5
"""Of what is left, what one process takes beyond its present need at most."""


class Terms(msgspec.Struct, frozen=True):
    """A limit in seconds: `rate` a second, `capacity` of the common level, `life` of a slice."""

    rate: float
    capacity: float
    life: float


def least_burst(a_minute: float) -> float:
    """The smallest burst that can be kept to across processes: one, and what flows in while a slice is on its way."""
    return 1.0 + 2.0 * SHORTEST * a_minute / 60.0


def terms(a_minute: float, burst: float | None = None) -> Terms:
    """The terms of so many a minute. Without a burst it is what flows in within ten seconds; one that is too small to be
    kept to is made `least_burst`."""
    rate = a_minute / 60.0
    whole = max(10.0 * rate if burst is None else burst, least_burst(a_minute))
    life = max(SHORTEST, min(LIFE, FOR_SLICES * (whole - 1.0) / (2.0 * rate)))
    return Terms(rate, whole - 2.0 * rate * life, life)


class Level(msgspec.Struct, frozen=True):
    """The common level as it was written under `revision` (0: nobody has drawn yet), and when we saw that (monotonic)."""

    left: float
    revision: int
    seen_at: float

    def now(self, terms: Terms, now: float) -> float:
        """What is left at least."""
        return min(terms.capacity, self.left + max(0.0, now - self.seen_at) * terms.rate)


class Draw(msgspec.Struct, frozen=True):
    """A compare-and-set to be tried: `left` over `revision` leaves us `amount`, from `begun` on; `taken_in` was ours before."""

    amount: float
    left: float
    revision: int
    begun: float
    taken_in: float


class Allowance:
    """One limit, of calls or of tokens, in one process."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.level: Level | None = None
        self.debt = 0.0
        self._slice = 0.0
        self.good_until = float("-inf")
        """What is in hand is, until then; whoever may give some of it back remembers it."""
        self._used = 0.0
        self._drawn_at = float("-inf")

    # -- what is used here

    def in_hand(self, now: float) -> float:
        """What may be used at once."""
        return self._slice if now < self.good_until else 0.0

    def take(self, amount: float, now: float) -> bool:
        """Use so much, if it is in hand and nothing is owed."""
        if self.debt > 0.0 or self.in_hand(now) < amount:
            return False
        self._slice -= amount
        self._used += amount
        return True

    def give_back(self, amount: float, now: float, good_until: float) -> None:
        """So much was not needed after all. It pays what is owed; the rest is in hand again if the slice that it was taken from,
        which is `good_until`, still is, and is lost else: what many calls set aside over a minute would be used in one moment.
        """
        paid = min(self.debt, amount)
        self.debt -= paid
        if now < good_until and good_until == self.good_until:
            self._slice += amount - paid
            self._used = max(0.0, self._used - amount)

    def owe(self, amount: float, now: float) -> None:
        """So much more was used than was taken: it is drawn before anything else."""
        at_once = min(amount, self.in_hand(now))
        self._slice -= at_once
        self._used += amount
        self.debt += amount - at_once

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much could be drawn, as far as is known here; 0: it may be tried."""
        if self.level is None or self.debt > 0.0:
            return 0.0
        short = self._need(amount) - self.in_hand(now) - self.level.now(self.terms, now)
        return max(0.0, short / self.terms.rate)

    # -- drawing

    def saw(self, left: float, revision: int, now: float) -> None:
        """The level stands so. What is older than what we know is passed over; 0 for a level that is full again."""
        if self.level is None or revision == 0 or revision > self.level.revision:
            self.level = Level(left, revision, now)

    def forget(self) -> None:
        """Nobody knows whether our draw was stored: what it would have brought, and what it took in, is lost."""
        self.level = None

    def draw(self, amount: float, now: float) -> Draw | None:
        """What to try so that `amount` can be taken; None: there is not so much (see `wait`), or the level is not known.

        What is owed comes first, whatever is there: the level may be less than nothing then, and everybody waits. Else it
        takes in what is left of the slice, and asks for as much more as was used lately, but only `SHARE` of what is there.
        Nothing is in hand from here until `drew` or `missed`: it could be used here while it is handed back there.
        """
        if self.level is None:
            return None
        in_hand, need = self.in_hand(now), self._need(amount)
        there = min(self.terms.capacity, self.level.now(self.terms, now) + in_hand)
        if self.debt > 0.0:
            asked = self.debt
        elif need > there:
            return None
        else:
            asked = max(need, min(self._wanted(now), need + SHARE * (there - need)))
        self._slice = 0.0
        return Draw(asked, there - asked, self.level.revision, now, in_hand)

    def missed(self, draw: Draw) -> None:
        """It was not stored, for certain: the level was another one. What it took in is in hand again."""
        self._slice += draw.taken_in

    def drew(self, draw: Draw, revision: int, now: float) -> None:
        """It was stored under this revision, and we know that since `now`."""
        self.saw(draw.left, revision, now)
        paid = min(self.debt, draw.amount)
        self._slice, self.debt = draw.amount - paid, self.debt - paid
        self.good_until = draw.begun + self.terms.life
        self._used, self._drawn_at = 0.0, draw.begun

    def _need(self, amount: float) -> float:
        """More than there ever is would never be had: then all there is must do, and the rest is owed."""
        return min(amount, self.terms.capacity)

    def _wanted(self, now: float) -> float:
        """What will be used while a slice is good, if it goes on as it has since the last one was drawn."""
        return self._used / max(now - self._drawn_at, 0.02) * self.terms.life
