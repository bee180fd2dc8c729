"""`Admittance`: what the breakers let one negotiation do. An award has their permits until it is known how that went.

Two are asked: the breaker before the instance, and that of its version's outputs. A permit for a trial of the latter is kept for
a verdict, so it goes back at once where there will be no output to judge.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.contract_net.permission import Permission
from mesh.resilience.breaker import Breaker, Outcome
from mesh.resilience.breaker_names import Key

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


class Admittance:
    """Of one award at a time; a further one gives back what the one before still had."""

    __slots__ = ("_delivered", "_peer", "_permission")

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._permission: Permission | None = None
        self._delivered: Permission | None = None

    def ask(self, breaker: Breaker, output: Key, now: float, until: float) -> None:
        """One call through this breaker, for an output of this version, that ends by `until`.

        Raises:
            BreakerOpen: not now. Nothing is held then.
        """
        self.give_back()
        quality = self._peer.quality
        trial = partial(quality.admit, output, until) if quality.troubled else None
        self._permission = Permission.ask(breaker, now, until, trial)

    def adopt(self, permission: Permission | None) -> None:
        """An award that was let through before."""
        self._permission = permission

    def settle(self, outcome: Outcome) -> None:
        """The award ended so. Again, or without an award: nothing happens."""
        permission, self._permission = self._permission, None
        if permission is not None:
            permission.settle(outcome, self._peer.clock)
            self._delivered = permission if outcome == "success" else None

    def give_back(self, *, expired: bool = False) -> None:
        """The award ended without a word of its winner, or with its decline."""
        permission, self._permission = self._permission, None
        if permission is not None:
            permission.give_back(self._peer.clock, expired=expired)

    def unjudged(self) -> None:
        """Nobody takes what was delivered: there will be no verdict on it."""
        delivered, self._delivered = self._delivered, None
        if delivered is not None:
            delivered.unjudged()
