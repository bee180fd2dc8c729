"""`Routing`: from what a caller names to the one instance that is asked.

A target is an agent (`reviewer`), an instance (`reviewer.a1`), a capability (`review.security`), or a Listing. Of several
instances the least loaded is taken: its figures from the heartbeats, and what this process itself has under way there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from mesh.actors.admitting.killing import spared
from mesh.actors.asking.doubts import Doubts
from mesh.actors.declaring.marks import TIMEOUT
from mesh.policy.policy import Policy
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.errors import Draining, Refused, UnknownAgent, UnknownCommand
from mesh.protocols.ports import Ids
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.listing import Listing
from mesh.registry.records import Capability, Instance
from mesh.resilience.breakers import Key
from mesh.resilience.quality import version_of

SAMPLE = 8
"""Of more candidates than this, so many are drawn and compared."""

ROUTES = 10_000
REPEATABLE = ("pure", "idempotent")
"""Work that does no harm when it is done twice: trial calls are made of it, if there is any."""
Target = str | Listing


class Route(msgspec.Struct, frozen=True):
    """One instance, one command. `key` is `<process>.<agent>.<instance>`; `what`, the capability (or the command that
    offers none), names the breaker beside it; `output` names the breaker of what this version delivers."""

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
    output: Key = ("", "")
    hedge: bool = False


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

    def __init__(
        self, directory: Directory, doubts: Doubts, policy: Policy, subjects: Subjects, process: str, ids: Ids
    ) -> None:
        self._directory = directory
        self._policy = policy
        self._doubts = doubts
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
        avoid: Collection[str] = (),
    ) -> Route:
        """The route to take now; `avoid` are keys that just failed, taken only if there is no other.

        Raises:
            UnknownAgent · UnknownCommand: nobody of that name is there, or has that command.
            Refused: none of them has the labels or the data boundary. Draining: all of them are going away.
            Killed: an operator has killed all of them.
        """
        if isinstance(target, Listing):
            if self._policy.switches:
                self._spared([target], "", command)
            return self._route(target, command, "", exact=True)
        only = self._only.get((target, command)) if constraints is None else None
        if only is not None and not self._policy.switches and only.holds(self._directory.instances(target)):
            return only.route
        listings, capability, exact = self._named(target)
        if self._policy.switches:
            listings = self._spared(listings, capability, command)
        if len(listings) == 1 and constraints is None and listings[0].state == "ready":
            route = self._route(listings[0], command, capability, exact=exact)
            if not capability and not exact:
                self._only[target, command] = Only(listings, listings[0], listings[0].record, route)
            return route
        fitting = listings
        if constraints is not None:
            fitting = [each for each in listings if constraints.admits(each.record.labels)]
        if not fitting:
            raise Refused(f"no instance of {target!r} has the labels asked for", detail={"reason": "labels"})
        best = self._trial(fitting, capability, command, avoid) or self._best(
            target, fitting, capability, command, avoid
        )
        return self._route(best, command, capability, exact=exact)

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

    def _spared(self, listings: Sequence[Listing], capability: str, command: str) -> Sequence[Listing]:
        """Those that are not killed, neither by who they are nor by the capability behind the command."""
        if not capability and listings and (declared := _declared(listings[0], "", command)) is not None:
            capability = declared.name
        return spared(self._policy, listings, capability)

    def _trial(
        self, listings: Sequence[Listing], capability: str, command: str, avoid: Collection[str]
    ) -> Listing | None:
        """One that failed, and may be well again: this call finds out."""
        if not self._doubts.any:
            return None
        fresh = [each for each in listings if each.key not in avoid] if avoid else listings
        return self._doubts.trial(fresh, lambda each: _terms(each, capability, command))

    def _best(
        self, target: str, listings: Sequence[Listing], capability: str, command: str, avoid: Collection[str]
    ) -> Listing:
        """The least loaded; of many, of some that are drawn, unless none of those will do."""
        drawn = listings
        if len(listings) > SAMPLE:
            chance, number = self._ids.random.random, len(listings)
            drawn = [listings[int(chance() * number)] for _ in range(SAMPLE)]
        best = self._least_loaded(drawn, capability, command, avoid)
        if best is None and drawn is not listings:
            best = self._least_loaded(listings, capability, command, avoid)
        return best or self._least_bad(target, listings, capability, command, avoid)

    def _least_loaded(
        self, listings: Sequence[Listing], capability: str, command: str, avoid: Collection[str]
    ) -> Listing | None:
        """Of those that are ready, have not failed just now, and are not in doubt."""
        chance, best, least, doubts = self._ids.random.random, None, (0.0, 0.0), self._doubts.any
        for each in listings:
            if each.suspicion or each.record.state != "ready" or (avoid and each.key in avoid):
                continue
            if doubts and self._doubts.against(each, _terms(each, capability, command)[0]):
                continue
            load = (self._load(each, each.key), chance())
            if best is None or load < least:
                best, least = each, load
        return best

    def _least_bad(
        self, target: str, listings: Sequence[Listing], capability: str, command: str, avoid: Collection[str]
    ) -> Listing:
        """Nobody is as they should be: those in doubt only if nobody is ready, then who has not failed, then who is let through."""
        candidates = [each for each in listings if each.state == "ready"] or [
            each for each in listings if each.state in ("suspect", "starting")
        ]
        if not candidates:
            raise Draining(f"every instance of {target!r} is going away", detail={"begun": False})
        fresh = [each for each in candidates if each.key not in avoid] or candidates
        doubts = self._doubts
        willing = [each for each in fresh if not doubts.refuses(each, _terms(each, capability, command)[0])] or fresh
        return min(willing, key=lambda each: (self._load(each, each.key), self._ids.random.random()))

    def _load(self, listing: Listing, key: str) -> float:
        figures = listing.figures
        return (figures.queue + figures.running + self.outstanding.get(key, 0)) / (figures.capacity or 1)

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
        what = (declared.name or declared.command) if declared else command
        return Route(
            subject=self._subjects.rpc(record.process, record.agent, record.instance, self._process),
            key=listing.key,
            process=record.process,
            agent=record.agent,
            instance=record.instance,
            command=declared.command if declared else command,
            what=what,
            timeout=declared.timeout if declared else TIMEOUT,
            effect=declared.effect if declared else "costly",
            exact=exact,
            output=(version_of(record.agent, record.version), what),
            hedge=declared.hedge if declared else False,
        )


def _terms(listing: Listing, capability: str, command: str) -> tuple[str, bool]:
    """What its breaker is called by, empty where it declares no such command; and whether that may be repeated."""
    declared = _declared(listing, capability, command)
    return ("", False) if declared is None else (declared.name or declared.command, declared.effect in REPEATABLE)


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
