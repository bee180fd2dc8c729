"""What a tenant gets beside others, as a queue sees it, and how urgent a piece of work is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mesh.actors.running.work import Work
from mesh.protocols.constraints import Constraints

DEFAULT_PRIORITY = Constraints().priority
AGEING = 1.0
"""Seconds of waiting that make up for one level of priority."""


class Share(Protocol):
    """One tenant's: its weight beside the others, how much of it runs at once and how much waits (None: no limit)."""

    @property
    def weight(self) -> float:
        """More than 0; twice the weight is twice the calls."""

    @property
    def at_once(self) -> int | None:
        """At least 1."""

    @property
    def queue(self) -> int | None:
        """At least 1."""


class Host(Protocol):
    """Whose queue it is: the actor."""

    @property
    def capacity(self) -> int:
        """How many it handles at once, now."""

    @property
    def shares(self) -> Mapping[str, Share]:
        """Empty where nothing was decided about any tenant: then all are alike."""

    def share(self, tenant: str) -> Share:
        """What that tenant gets."""

    def held(self) -> dict[str, int]:
        """How many places each tenant has now; those with none are left out."""


def priority_of(work: Work) -> int:
    """0 is the most urgent, 3 the least."""
    constraints = work.envelope.constraints
    return DEFAULT_PRIORITY if constraints is None else constraints.priority


def due(work: Work) -> tuple[float, int]:
    """Work of one tenant is handled in this order, and shed from its end: by when it was offered, each level of priority
    counting `AGEING` seconds. So nobody is overtaken by what came more than 3 · `AGEING` seconds after it."""
    priority = priority_of(work)
    return work.offered_at + AGEING * priority, priority


def alike(one: Work, other: Work) -> bool:
    """Whether they simply wait in the order they came in."""
    mine, theirs = one.envelope, other.envelope
    if mine.tenant != theirs.tenant:
        return False
    return mine.constraints is theirs.constraints or priority_of(one) == priority_of(other)
