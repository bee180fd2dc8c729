"""`Subcontract`: what a handler (or a client) wants done by whoever bids best: the port to the contract net above."""

from __future__ import annotations

from typing import Protocol, TypedDict

import msgspec

from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.resilience.deadline import Deadline
from mesh.resilience.hedging import Hedge

UNCONSTRAINED = Constraints()
"""What a call demands that demands nothing. It is not written out where it is sent."""


class SubcontractOptions(TypedDict, total=False):
    """What may be said of a call that is auctioned; `Peer.call` explains it."""

    mode: Mode
    constraints: Constraints | None
    effect: Effect | None
    key: str
    hedge: Hedge | bool | None


class Subcontract(msgspec.Struct, frozen=True, kw_only=True):
    """A call to be auctioned on behalf of `lineage`, whose chain and hops already count the agent that calls."""

    capability: str
    input: msgspec.Raw
    constraints: Constraints
    deadline: Deadline
    lineage: Lineage
    effect: Effect | None = None
    mode: Mode = "standing"
    key: str = ""
    hedge: Hedge | bool | None = None

    @classmethod
    def below(
        cls,
        lineage: Lineage,
        capability: str,
        payload: msgspec.Raw,
        deadline: Deadline,
        *,
        constraints: Constraints | None = None,
        effect: Effect | None = None,
        mode: Mode = "standing",
        key: str = "",
        hedge: Hedge | bool | None = None,
    ) -> Subcontract:
        """A call on behalf of `lineage`; deadline and constraints have only narrowed.

        Raises:
            TooManyHops: the chain of calls is too long. Refused: the constraints would widen.
        """
        lineage.check_call()
        return cls(
            capability=capability, input=payload, constraints=lineage.narrowed(constraints) or UNCONSTRAINED,
            deadline=deadline, lineage=lineage, effect=effect, mode=mode, key=key, hedge=hedge,
        )  # fmt: skip


class Subcontracted(Protocol):
    """What comes back: the winner's content and what it used."""

    @property
    def content(self) -> msgspec.Raw:
        """The result."""

    @property
    def usage(self) -> Usage:
        """What it cost, its own subcontracts included."""

    @property
    def output(self) -> tuple[str, str]:
        """The version that made it, as `<agent>@<version>`, and for which capability."""

    @property
    def degraded(self) -> str:
        """Why it is less than what was called for; empty: it is not."""
