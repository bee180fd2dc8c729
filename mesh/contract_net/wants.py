"""`Wants`: places of one instance that tenants were refused and may soon come back for. No I/O.

An instance takes few awards beyond those it runs, so in a crowd the queue does not show who else wants something: they were
declined, and wait elsewhere. Until they are back, or the time that they were told is well over, a tenant that has its part
of the places already gets no more of those that are kept for the others:

    part(t) = places · weight(t) / sum of the weights of those that hold or want some
    kept(t) = min(part(t), held(t) + wanted(t)) - held(t)         never more than was wanted
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

MOST = 64
"""Wants of one tenant that are remembered; one a conversation."""
TENANTS = 256
PATIENCE, GRACE = 2.0, 0.25
"""A want lasts for the seconds that its tenant was told to wait, twice, and a little more."""


class Wants:
    """Those of one instance. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._wanted: dict[str, dict[str, float]] = {}

    def refused(self, tenant: str, conversation: str, now: float, retry_after: float) -> None:
        """There was no room, and it was told to come back. Again, for the same conversation: it still counts once."""
        self._lapse(now)
        if tenant in self._wanted or len(self._wanted) < TENANTS:
            wanted = self._wanted.setdefault(tenant, {})
            if conversation in wanted or len(wanted) < MOST:
                wanted[conversation] = now + PATIENCE * retry_after + GRACE

    def granted(self, tenant: str, conversation: str) -> None:
        """It has a place. If it never was refused one: nothing happens."""
        if (wanted := self._wanted.get(tenant)) is not None:
            wanted.pop(conversation, None)

    def contested(self, tenant: str, now: float) -> bool:
        """Whether any other tenant wants something."""
        if not self._wanted:
            return False
        self._lapse(now)
        return any(other != tenant for other in self._wanted)

    def kept(self, tenant: str, held: Mapping[str, int], places: int, weight: Callable[[str], float]) -> int:
        """How many of the places are not for this tenant now; `held` are those that each has, waiting ones among them."""
        known = {tenant, *held, *self._wanted}
        unit = places / sum(map(weight, known))
        if held.get(tenant, 0) < max(1.0, unit * weight(tenant)):
            return 0
        others = (each for each in self._wanted if each != tenant)
        return ceil(sum(max(0.0, self._claim(each, held, unit * weight(each))) for each in others) - 1e-9)

    def _claim(self, tenant: str, held: Mapping[str, int], part: float) -> float:
        has = held.get(tenant, 0)
        return min(part, has + len(self._wanted[tenant])) - has

    def _lapse(self, now: float) -> None:
        for tenant, wanted in list(self._wanted.items()):
            for conversation in [each for each, until in wanted.items() if until <= now]:
                del wanted[conversation]
            if not wanted:
                del self._wanted[tenant]
