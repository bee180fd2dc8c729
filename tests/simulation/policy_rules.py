"""`PolicyRules`: what must hold of decisions: once a process has read a kill switch, nothing of it begins there, and a rate
limit holds over all processes together.

What a process has read is what its watch has handed over: what it makes of it is its own affair.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mesh.actors.asking.question import Question
from mesh.policy.policy import Policy
from mesh.protocols.ports import KeyValue
from tests.simulation.handling import Handling
from tests.simulation.place import HERE, Place
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants


MOMENT = 1e-6
"""Seconds: what is offered when a limit is read, or lifted, may go by either; clocks that begin anywhere are not finer."""


class Share(msgspec.Struct):
    """What a process has read of a tenant's share."""

    at_once: int | None = None
    queue: int | None = None


class Limit(NamedTuple):
    """A limit of calls as a process has read it; `since` and `until` in true time."""

    agent: str
    rate: float
    burst: float
    since: float
    until: float


class PolicyRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._read: dict[Place, dict[str, bytes]] = {}
        self._limits: dict[tuple[Place, str], Limit] = {}
        self._used: dict[str, list[float]] = {}
        """By limited agent: when the work was offered that was begun, in true time."""
        invariants.world.outside.handlings.on_begin.append(self._begun)
        seams.before(Policy, "start", self._anew)
        seams.before(Policy, "_heard", self._heard)
        seams.before(Question, "__call__", self._asked)

    def read(self, place: Place) -> dict[str, bytes] | None:
        """What was read there of all that is decided."""
        return self._read.get(place)

    def share(self, place: Place, tenant: str) -> Share | None:
        """What was read there of a tenant's share."""
        read = self._read.get(place)
        value = read.get(f"share.{tenant}") if read else None
        return None if value is None else msgspec.json.decode(value, type=Share)

    def _anew(self, policy: Policy) -> None:
        """A start that failed is tried again by a mesh that has read nothing yet: what was lifted meanwhile it never hears of."""
        place, now = HERE.get(), self._invariants.world.loop.now
        self._read.pop(place, None)
        for key, limit in self._limits.items():
            if key[0] is place:
                self._limits[key] = limit._replace(until=min(limit.until, now))

    def _heard(self, policy: Policy, found: KeyValue) -> None:
        place, now = HERE.get(), self._invariants.world.loop.now
        read = self._read.setdefault(place, {})
        if found.value is None:
            read.pop(found.key, None)
        else:
            read[found.key] = found.value
        if found.key.startswith("limit.agent."):
            self._limited(place, found, now)

    def _limited(self, place: Place, found: KeyValue, now: float) -> None:
        key = place, found.key
        if found.value is not None:
            said = msgspec.json.decode(found.value)
            if "calls" not in said:
                return  # of tokens alone: `token_rules.py`
            agent = found.key.rpartition(".")[2]
            self._limits.setdefault(key, Limit(agent, said["calls"] / 60, said["burst"], now, float("inf")))
        elif key in self._limits:
            self._limits[key] = self._limits[key]._replace(until=now)

    # -- kill switches

    def _begun(self, handling: Handling) -> None:
        read = self._read.get(handling.place)
        if read:
            context = handling.context
            names = {
                "agent": context.agent, "instance": f"{context.agent}.{context.instance}", "tenant": context.tenant,
                "capability": handling.capability,
            }  # fmt: skip
            if found := killed(read, names):
                self._invariants.violated(f"{handling} begins, and {handling.place} has read before: {found}")
        self._rationed(handling)

    def _asked(self, question: Question, number: int) -> None:
        """What this process does not ask for any more. A switch may come between two attempts."""
        read = self._read.get(HERE.get())
        if number == 1 and read:
            names = {"tenant": question._wish.lineage.tenant, "agent": question.route.agent}
            if found := killed(read, names | {"capability": question.route.what}):
                self._invariants.violated(f"{HERE.get()} is {question}, and has read before: {found}")

    # -- rate limits

    def _rationed(self, handling: Handling) -> None:
        """Of the work that was begun, how much was taken on in any stretch of time. That is when a ration is used; what is
        taken on may wait, and begin all at once."""
        for (place, _), limit in self._limits.items():
            offered = handling.context._work.offered_at - place.offset
            if (
                place is handling.place
                and limit.agent == handling.context.agent
                and limit.since + MOMENT < offered < limit.until - MOMENT
            ):
                used = self._used.setdefault(limit.agent, [])
                insort(used, offered)
                self._within(limit, used)

    def _within(self, limit: Limit, used: list[float]) -> None:
        """In any `t` seconds at most `burst + rate × t`: of those numbered i to j, `j - i + 1 ≤ burst + rate × (t_j - t_i)`."""
        least = float("inf")
        for number, at in enumerate(used):
            level = number - limit.rate * at
            least = min(least, level)
            if level - least + 1 > limit.burst + 1e-6:
                self._invariants.violated(
                    f"more calls of {limit.agent} than its limit: {limit.burst:g} + {limit.rate:g} a second, at {used}"
                )
                return


def killed(read: dict[str, Any], names: dict[str, str]) -> str:
    """The key of a switch that kills one of these."""
    for key in read:
        family, _, rest = key.partition(".")
        what, _, name = rest.partition(".")
        wanted = names.get(what, "")
        if family == "kill" and wanted and (name == wanted or (name.endswith("=2A") and wanted.startswith(name[:-3]))):
            return key
    return ""
