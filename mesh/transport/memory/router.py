"""Who hears what: subscriptions, wildcards and queue groups, as the server keeps them."""

from __future__ import annotations

import random
from collections.abc import Callable

from mesh.protocols.ports import Message
from mesh.transport.matching import has_wildcard, matches


class Interest:
    """One client's subscription as the server knows it."""

    __slots__ = ("deliver", "owner", "queue", "subject")

    def __init__(self, owner: int, subject: str, queue: str, deliver: Callable[[Message], None]) -> None:
        self.owner = owner
        self.subject = subject
        self.queue = queue
        self.deliver = deliver


class Router:
    """All subscriptions of the server. Answers are remembered per subject until a subscription changes."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._exact: dict[str, list[Interest]] = {}
        self._wild: list[Interest] = []
        self._known: dict[str, tuple[tuple[Interest, ...], tuple[tuple[Interest, ...], ...]]] = {}

    def add(self, interest: Interest) -> None:
        """It hears messages from now on."""
        if has_wildcard(interest.subject):
            self._wild.append(interest)
        else:
            self._exact.setdefault(interest.subject, []).append(interest)
        self._known.clear()

    def remove(self, interest: Interest) -> None:
        """It hears nothing any more. Again: nothing happens."""
        held = self._wild if has_wildcard(interest.subject) else self._exact.get(interest.subject, [])
        if interest in held:
            held.remove(interest)
            self._known.clear()

    def remove_owner(self, owner: int) -> None:
        """Nothing of this client hears anything any more."""
        self._wild = [i for i in self._wild if i.owner != owner]
        self._exact = {s: kept for s, held in self._exact.items() if (kept := [i for i in held if i.owner != owner])}
        self._known.clear()

    def receivers(self, subject: str) -> list[Interest]:
        """Every subscription that gets this message: all the plain ones, and one of each queue group."""
        plain, groups = self._matching(subject)
        return [*plain, *(self._random.choice(group) for group in groups)]

    def _matching(self, subject: str) -> tuple[tuple[Interest, ...], tuple[tuple[Interest, ...], ...]]:
        known = self._known.get(subject)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            known = self._known[subject] = self._search(subject)
        return known

    def _search(self, subject: str) -> tuple[tuple[Interest, ...], tuple[tuple[Interest, ...], ...]]:
        found = [*self._exact.get(subject, ()), *(i for i in self._wild if matches(i.subject, subject))]
        groups: dict[str, list[Interest]] = {}
        for interest in found:
            if interest.queue:
                groups.setdefault(interest.queue, []).append(interest)
        return tuple(i for i in found if not i.queue), tuple(tuple(g) for g in groups.values())
