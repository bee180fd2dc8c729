"""`Routing`: from what a caller names to the one instance that is asked.

A target is an agent (`reviewer`), an instance (`reviewer.a1`), a capability (`review.security`), or a Listing. Of several
instances the least loaded is taken: its figures from the heartbeats, and what this process itself has under way there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from mesh.actors.marks import TIMEOUT
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.errors import Draining, Refused, UnknownAgent, UnknownCommand
from mesh.protocols.ports import Ids
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.listing import Listing
from mesh.registry.records import Capability, Instance
from mesh.resilience.breakers import Breakers

SAMPLE = 8
"""Of more candidates than this, so many are drawn and compared."""

ROUTES = 10_000
Target = str | Listing


class Route(msgspec.Struct, frozen=True):
    """One instance, one command. `key` is `<process>.<agent>.<instance>`; `what`, the capability (or the command that
    offers none), names the breaker beside it."""

    subject: str
    key: str
    process: str
    agent: str
    instance: str
    command: str
    what: str
    timeout: float
    effect: Effect
    exact: bool


class Only(msgspec.Struct, frozen=True):
    """What was found where there was no choice: one ready instance of an agent. It holds while nothing changes there."""

    listings: Sequence[Listing]
    listing: Listing
    record: Instance
    route: Route

    def holds(self, listings: Sequence[Listing]) -> bool:
        """Whether that is still who is there."""
        listing = self.listing
        return listings is self.listings and listing.record is self.record and not listing.suspicion


class Routing:
    """Chooses instances out of the directory."""

    def __init__(self, directory: Directory, breakers: Breakers, subjects: Subjects, process: str, ids: Ids) -> None:
        self._directory = directory
        self._breakers = breakers
        self._subjects = subjects
        self._process = process
        self._ids = ids
        self.outstanding: Counter[str] = Counter()
        self._routes: dict[tuple[Listing, str, str, bool], tuple[Instance, Route]] = {}
        self._only: dict[tuple[str, str], Only] = {}

    def resolve(
        self,
        target: Target,
        command: str = "",
        *,
        constraints: Constraints | None = None,
        avoid: Iterable[str] = (),
    ) -> Route:
        """The route to take now; `avoid` are keys that just failed, taken only if there is no other.

        Raises:
            UnknownAgent · UnknownCommand: nobody of that name is there, or has that command.
            Refused: none of them has the labels or the data boundary. Draining: all of them are going away.
        """
        if isinstance(target, Listing):
            return self._route(target, command, "", exact=True)
        only = self._only.get((target, command)) if constraints is None else None
        if only is not None and only.holds(self._directory.instances(target)):
            return only.route
        listings, capability, exact = self._named(target)
        if len(listings) == 1 and constraints is None and listings[0].state == "ready":
            route = self._route(listings[0], command, capability, exact=exact)
            if not capability and not exact:
                self._only[target, command] = Only(listings, listings[0], listings[0].record, route)
            return route
        fitting = [each for each in listings if constraints is None or constraints.admits(each.record.labels)]
        if not fitting:
            raise Refused(f"no instance of {target!r} has the labels asked for", detail={"reason": "labels"})
        return self._route(
            self._best(target, fitting, capability, command, set(avoid)), command, capability, exact=exact
        )

    def begun(self, key: str) -> None:
        """Something is under way at this instance from here, until `ended`."""
        self.outstanding[key] = self.outstanding.get(key, 0) + 1

    def ended(self, key: str) -> None:
        """It is not any more."""
        left = self.outstanding.get(key, 0) - 1
        if left > 0:
            self.outstanding[key] = left
        else:
            self.outstanding.pop(key, None)

    def _named(self, target: str) -> tuple[Sequence[Listing], str, bool]:
        """Who is meant, by which capability (if by one), and whether exactly one instance was named."""
        found = self._directory.instances(target)
        if found:
            return found, "", False
        offering = self._directory.lookup(target, state=None)
        if offering:
            return offering, target, False
        agent, _, instance = target.partition(".")
        named = (
            [each for each in self._directory.instances(agent) if each.record.instance == instance] if instance else []
        )
        if not named:
            known = ", ".join(self._directory.agents()[:10]) or "none"
            raise UnknownAgent(f"no agent, instance or capability {target!r} is there; agents: {known}")
        return named, "", True

    def _best(
        self, target: str, listings: Sequence[Listing], capability: str, command: str, avoid: set[str]
    ) -> Listing:
        candidates = [each for each in listings if each.state == "ready"] or [
            each for each in listings if each.state in ("suspect", "starting")
        ]
        if not candidates:
            raise Draining(f"every instance of {target!r} is going away", detail={"begun": False})
        if len(candidates) == 1:
            return candidates[0]
        fresh = [each for each in candidates if each.key not in avoid] or candidates
        willing = [each for each in fresh if self._willing(each, capability, command)] or fresh
        drawn = willing if len(willing) <= SAMPLE else self._ids.random.sample(willing, SAMPLE)
        return min(drawn, key=lambda each: (self._load(each), self._ids.random.random()))

    def _willing(self, listing: Listing, capability: str, command: str) -> bool:
        declared = _declared(listing, capability, command)
        return declared is None or self._breakers.allows(listing.key, declared.name or declared.command)

    def _load(self, listing: Listing) -> float:
        figures = listing.figures
        return (figures.queue + figures.running + self.outstanding[listing.key]) / max(1, figures.capacity)

    def _route(self, listing: Listing, command: str, capability: str, *, exact: bool) -> Route:
        """The route to an instance; the same one until its record changes."""
        asked = (listing, command, capability, exact)
        known = self._routes.get(asked)
        if known is not None and known[0] is listing.record:
            return known[1]
        if len(self._routes) >= ROUTES:
            self._routes.clear()
            self._only.clear()
        route = self._make_route(listing, command, capability, exact=exact)
        self._routes[asked] = (listing.record, route)
        return route

    def _make_route(self, listing: Listing, command: str, capability: str, *, exact: bool) -> Route:
        declared = _declared(listing, capability, command)
        if declared is None and not command:
            commands = ", ".join(each.command for each in _commands(listing)) or "none"
            raise UnknownCommand(f"say which command of {listing.agent} is meant: command= one of {commands}")
        record = listing.record
        return Route(
            subject=self._subjects.rpc(record.process, record.agent, record.instance, self._process),
            key=listing.key,
            process=record.process,
            agent=record.agent,
            instance=record.instance,
            command=declared.command if declared else command,
            what=(declared.name or declared.command) if declared else command,
            timeout=declared.timeout if declared else TIMEOUT,
            effect=declared.effect if declared else "costly",
            exact=exact,
        )


def _commands(listing: Listing) -> tuple[Capability, ...]:
    return (*listing.record.capabilities, *listing.record.commands)


def _declared(listing: Listing, capability: str, command: str) -> Capability | None:
    """What the instance declares of the command; without a name, its only one."""
    commands = _commands(listing)
    if command:
        return next((each for each in commands if each.command == command), None)
    if capability:
        return next((each for each in commands if each.name == capability), None)
    return commands[0] if len(commands) == 1 else None
