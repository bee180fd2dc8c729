"""`Subcontract`: what a handler (or a client) wants done by whoever bids best: the port to the contract net above.

It has the fields of the contract net's own call, so that one is made from the other by name.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from mesh.actors.lineage import Lineage
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.resilience.deadline import Deadline


class Subcontract(msgspec.Struct, frozen=True, kw_only=True):
    """A call to be auctioned. `chain` and `hops` already count the agent that calls; `agent` and `instance` name it."""

    capability: str
    input: msgspec.Raw
    constraints: Constraints
    deadline: Deadline
    effect: Effect | None = None
    mode: Mode = "standing"
    key: str = ""
    tenant: str = "default"
    job: str = ""
    epoch: int = 0
    step: str = ""
    attempt: int = 1
    correlation: str = ""
    causation: str = ""
    chain: tuple[str, ...] = ()
    hops: int = 0
    trace: str = ""
    agent: str = ""
    instance: str = ""

    @classmethod
    def below(
        cls,
        lineage: Lineage,
        capability: str,
        payload: msgspec.Raw,
        deadline: Deadline,
        *,
        constraints: Constraints | None,
        effect: Effect | None,
        mode: Mode,
        key: str,
    ) -> Subcontract:
        """A call on behalf of `lineage`; deadline and constraints have only narrowed.

        Raises:
            TooManyHops: the chain of calls is too long. Refused: the constraints would widen.
        """
        lineage.check_call()
        return cls(
            capability=capability, input=payload, constraints=lineage.narrowed(constraints) or Constraints(),
            deadline=deadline, effect=effect, mode=mode, key=key, tenant=lineage.tenant, job=lineage.job,
            epoch=lineage.epoch, step=lineage.step, correlation=lineage.correlation, causation=lineage.causation,
            chain=lineage.chain, hops=lineage.hops, trace=lineage.trace, agent=lineage.sender.agent,
            instance=lineage.sender.instance,
        )  # fmt: skip


class Subcontracted(Protocol):
    """What comes back: the winner's content and what it used."""

    @property
    def content(self) -> msgspec.Raw:
        """The result."""

    @property
    def usage(self) -> Usage:
        """What it cost, its own subcontracts included."""
