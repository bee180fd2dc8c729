"""`Limiter`: rate limits that are right across processes: each draws slices of a common level, and uses them by itself.

What is common stands in the bucket `limits`, on disk, one key a limit and kind; draws are compare-and-set (`allowance.py` has
the arithmetic). A process that dies with a slice takes it along: it is not given twice. While the store is away nothing can be
drawn, and nothing that is limited is done.

Why none of the libraries: `limits` keeps its windows in Redis, Memcached, MongoDB or (some releases) etcd, `pyrate-limiter` in
Redis, SQL or a shared file, `aiolimiter` in one process. None knows the store that we have, and the two that share their state go to
it for each call, and by a clock on the wall; here a call costs no message, and no clock is compared with another. The
algorithm, a token bucket, is theirs, too.
"""

from __future__ import annotations

import asyncio
import math
import random

import msgspec

from mesh.policy.allowance import Allowance, terms
from mesh.policy.board import Change
from mesh.policy.meter import Meter, Reservation, Taken
from mesh.policy.policy import Policy
from mesh.policy.reading import watched
from mesh.protocols.errors import Conflict, RateLimited
from mesh.protocols.policies import EACH, LIMITS, Kind, LimitState, RateLimit, limit_key, state_key
from mesh.protocols.ports import Bucket, BucketSpec, Clock, KeyValue, Store, Watch
from mesh.protocols.subjects import Subjects

MATCHES = 10_000
"""So many different calls are remembered with the limits that are for them, then all are forgotten."""
TRIES = 20
"""Others may be faster this often; then it is said that there is too much going on."""
MOMENT = 0.002
"""Seconds between two tries, more with each: so many at once must not all try again together."""
LATER = 60
"""Seconds that a level stays stored after it is full again: nothing stored means full."""


async def open_limits(store: Store, subjects: Subjects) -> Bucket:
    """The bucket of what is left: on disk, or a server that restarts would give everything once more."""
    name = subjects.bucket(LIMITS)
    return await store.bucket(BucketSpec(name=name, storage="file", description="what is left of rate limits"))


class Limiter:
    """The rate limits of one process. It does nothing, and knows of no bucket, before the first limit that is for it."""

    def __init__(self, policy: Policy, store: Store, subjects: Subjects, clock: Clock, chance: random.Random) -> None:
        self._policy, self._store, self._subjects, self._clock, self._chance = policy, store, subjects, clock, chance
        self._meters: dict[str, Meter] = {}
        self._matches: dict[tuple[str, ...], list[Meter]] = {}
        self._levels: dict[str, tuple[LimitState | None, int, float]] = {}
        self._opening = asyncio.Lock()
        self._bucket: Bucket | None = None
        self._watch: Watch | None = None
        policy.on_change(self._changed)

    async def stop(self) -> None:
        """Watch no more. Again: nothing happens."""
        watch, self._watch, self._bucket = self._watch, None, None
        if watch is not None:
            await watch.close()

    # -- taking

    async def take(
        self, *, agent: str = "", tool: str = "", tenant: str = "", capability: str = "", tokens: float | None = None
    ) -> Reservation:
        """Set one call aside, and `tokens` tokens (None: as many as usual), in every limit that is for all of these names.

        A limit for a tool counts the calls of the tool; all others count what agents are asked.

        Raises:
            RateLimited: one has not so much left; `retry_after` says when it will. Nothing is set aside then.
            Unavailable · TimedOut: the store is away, so nobody knows what is left.
        """
        taken: list[Taken] = []
        try:
            for meter in self.matching(agent=agent, tool=tool, tenant=tenant, capability=capability):
                amount = await self._take(meter, tokens)
                taken.append((meter, amount, meter.allowance.good_until))
        except BaseException:
            Reservation(self._clock, taken).cancel()
            raise
        return Reservation(self._clock, taken)

    def take_now(
        self, *, agent: str = "", tool: str = "", tenant: str = "", capability: str = "", tokens: float | None = None
    ) -> Reservation | None:
        """As `take`, from what is in hand; None: something must be drawn first, so `take`.

        Raises:
            RateLimited: as `take`, where that is known here already.
        """
        taken: list[Taken] = []
        now = self._clock.monotonic()
        for meter in self.matching(agent=agent, tool=tool, tenant=tenant, capability=capability):
            amount, allowance = self._amount(meter, tokens), meter.allowance
            if amount > allowance.terms.capacity or not allowance.take(amount, now):
                Reservation(self._clock, taken).cancel()
                if (wait := allowance.wait(amount, now)) > 0.0:
                    raise self._limited(meter, wait)
                return None
            taken.append((meter, amount, allowance.good_until))
        return Reservation(self._clock, taken)

    def matching(self, *, agent: str = "", tool: str = "", tenant: str = "", capability: str = "") -> list[Meter]:
        """The meters of every limit that is for such a call; the same list until the limits change."""
        names = (agent, tool, tenant, capability)
        found = self._matches.get(names)
        if found is None:
            if len(self._matches) >= MATCHES:
                self._forget()
            found = self._matches[names] = self._match(agent=agent, tool=tool, tenant=tenant, capability=capability)
        return found

    def _forget(self) -> None:
        """A limit of each tenant has as many meters as there are tenants: those that are idle are made anew when needed."""
        now = self._clock.monotonic()
        self._matches.clear()
        self._meters = {key: meter for key, meter in self._meters.items() if not meter.idle(now)}

    def _match(self, **names: str) -> list[Meter]:
        """Who has a limit of its own does not go by that of each: what is left of both would stand under one key."""
        found: dict[tuple[str, Kind], RateLimit] = {}
        for limit in self._policy.limits.values():
            if bool(limit.tool) == bool(names["tool"]) and all(
                names[scope] and wanted in (EACH, names[scope]) for scope, wanted in limit.scopes.items()
            ):
                key = limit_key(**{scope: names[scope] for scope in limit.scopes})
                for kind in limit.kinds:
                    known = found.get((key, kind))
                    if known is None or _precedence(limit, kind) < _precedence(known, kind):
                        found[key, kind] = limit
        return [self._meter(state_key(key, kind), kind, limit) for (key, kind), limit in found.items()]

    def _meter(self, at: str, kind: Kind, limit: RateLimit) -> Meter:
        """The meter kept there; another where the limit is another than before, of which what is owed is still owed."""
        known, figures = self._meters.get(at), limit.figures(kind)
        if known is not None and known.limit.figures(kind) == figures:
            known.limit = limit
            return known
        meter = self._meters[at] = Meter(at, kind, limit, Allowance(terms(*figures)))
        if known is not None:
            meter.allowance.debt = known.allowance.debt
        if self._watch is not None:
            state, revision, seen_at = self._levels.get(at, (None, 0, self._clock.monotonic()))
            self._saw(meter, state, revision, seen_at)
        return meter

    @staticmethod
    def _amount(meter: Meter, tokens: float | None) -> float:
        if not meter.for_tokens:
            return 1.0
        return meter.usual if tokens is None else tokens

    async def _take(self, meter: Meter, tokens: float | None) -> float:
        """What was set aside. More than there ever is cannot be: then all there is, and the rest is owed."""
        amount, allowance = self._amount(meter, tokens), meter.allowance
        first = min(amount, allowance.terms.capacity)
        if not allowance.take(first, self._clock.monotonic()):
            async with meter.drawing:
                await self._draw(meter, first)
        if amount > first:
            allowance.owe(amount - first, self._clock.monotonic())
        return amount

    # -- drawing

    async def _draw(self, meter: Meter, amount: float) -> None:
        """Draw until so much could be taken, and take it."""
        bucket, allowance = await self._open(), meter.allowance
        for number in range(TRIES):
            now = self._clock.monotonic()
            if allowance.take(amount, now):
                return
            if allowance.level is None:
                await self._read(bucket, meter)
            elif (wait := allowance.wait(amount, now)) > 0.0:
                raise self._limited(meter, wait)
            else:
                await self._try(bucket, meter, amount, now, number)
        raise self._limited(meter, allowance.terms.life)

    async def _try(self, bucket: Bucket, meter: Meter, amount: float, now: float, number: int) -> None:
        """One draw. Where another process was faster, the watch is given a moment to tell what it left."""
        allowance = meter.allowance
        draw = allowance.draw(amount, now)
        if draw is None:
            return
        state = LimitState(left=draw.left, at=self._clock.now())
        full_in = (allowance.terms.capacity - draw.left) / allowance.terms.rate
        try:
            revision = await bucket.put(
                meter.key, msgspec.json.encode(state), ttl=math.ceil(full_in) + LATER, revision=draw.revision
            )
        except Conflict:
            allowance.missed(draw)
            await self._clock.sleep(MOMENT * (number + self._chance.random()))
            if allowance.level is None or allowance.level.revision <= draw.revision:
                await self._read(bucket, meter)
        except BaseException:
            allowance.forget()
            raise
        else:
            allowance.drew(draw, revision, self._clock.monotonic())

    async def _read(self, bucket: Bucket, meter: Meter) -> None:
        """What is stored. It was written before we have it: to count from then on is never too much."""
        found = await bucket.get(meter.key)
        state = None if found is None else _state(found)
        meter.allowance.level = None
        self._saw(meter, state, 0 if found is None else found.revision, self._clock.monotonic())

    def _limited(self, meter: Meter, wait: float) -> RateLimited:
        """Not everybody who is refused comes back in the same moment, and nobody too early."""
        limit, kind = meter.limit, meter.kind
        a_minute, _ = limit.figures(kind)
        what = " and ".join(f"{scope} {name}" for scope, name in limit.scopes.items())
        wait *= 1.0 + 0.1 * self._chance.random()
        return RateLimited(
            f"{what}: {a_minute:g} {kind} a minute are the limit, and none is left for the next {wait:.3g} s",
            retry_after=wait,
            detail={"limit": limit.key, "kind": kind, "begun": False},
        )

    # -- what is common

    async def _open(self) -> Bucket:
        """The bucket, watched: a level that one sees when it is written is worth more than one that is read later."""
        async with self._opening:
            if self._bucket is None:
                bucket = await open_limits(self._store, self._subjects)
                self._watch = await watched(bucket, self._heard, self._subjects.bucket(LIMITS))
                self._bucket = bucket
            return self._bucket

    def _heard(self, found: KeyValue) -> None:
        now, state = self._clock.monotonic(), _state(found)
        if state is None:
            self._levels.pop(found.key, None)
        else:
            self._levels[found.key] = (state, found.revision, now)
        if (meter := self._meters.get(found.key)) is not None:
            self._saw(meter, state, found.revision if found.value is not None else 0, now)

    @staticmethod
    def _saw(meter: Meter, state: LimitState | None, revision: int, now: float) -> None:
        meter.allowance.saw(meter.allowance.terms.capacity if state is None else state.left, revision, now)

    def _changed(self, change: Change) -> None:
        """Limits have changed: whoever comes next is measured by the new ones."""
        if isinstance(change.entry or change.before, RateLimit):
            self._matches.clear()


def _precedence(limit: RateLimit, kind: Kind) -> tuple[int, float]:
    """Which of two limits that are for the very same counts: the one that names more, then the smaller one."""
    return sum(name == EACH for name in limit.scopes.values()), limit.figures(kind)[0]


def _state(found: KeyValue) -> LimitState | None:
    """What is left as it was stored; an entry nobody can read counts as nothing left, until it is written anew."""
    if found.value is None:
        return None
    try:
        return msgspec.json.decode(found.value, type=LimitState)
    except (msgspec.MsgspecError, RecursionError):
        return LimitState(left=0.0)
