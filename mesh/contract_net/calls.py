"""What is called for, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from mesh.actors.lineage import Lineage
from mesh.actors.subcontract import Subcontract
from mesh.protocols.acts import Mode
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.envelope import Sender, Stamps
from mesh.resilience.deadline import Deadline

UNCONSTRAINED = Constraints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Work to be given away: what is wanted, on what terms, and on whose behalf.

    `effect` None means: as the capability declares it. An `idempotent` call without a `key` gets one. `rounds` bounds how
    often the call is opened again when nobody is acceptable (None: as the policy says). `attempt` is the caller's own
    count of the step; copies of an award are numbered apart from it. `sender` is who calls (the process itself if empty).
    """

    capability: str
    input: msgspec.Raw
    deadline: Deadline
    constraints: Constraints = UNCONSTRAINED
    effect: Effect | None = None
    mode: Mode = "standing"
    key: str = ""
    rounds: int | None = None
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
    sender: Sender | None = None
    stamps: Stamps | None = None
    ext: dict[str, Any] = field(default_factory=dict)

    def lineage(self, process: str) -> Lineage:
        """What every message of this call hands down."""
        return Lineage(
            sender=self.sender or Sender("", "", process),
            correlation=self.correlation,
            causation=self.causation,
            tenant=self.tenant,
            job=self.job,
            epoch=self.epoch,
            step=self.step,
            hops=self.hops,
            chain=self.chain,
            deadline=self.deadline,
            constraints=self.constraints,
            trace=self.trace,
            stamps=self.stamps,
            ext=self.ext,
        )


class CallLike(Protocol):
    """Anything with the terms of a call: a floor above may bring its own."""

    @property
    def capability(self) -> str: ...  # noqa: D102
    @property
    def input(self) -> msgspec.Raw: ...  # noqa: D102
    @property
    def deadline(self) -> Deadline: ...  # noqa: D102
    @property
    def constraints(self) -> Constraints: ...  # noqa: D102


def call_of(terms: CallLike) -> Call:
    """The call with these terms; fields that `terms` does not have keep their defaults."""
    if isinstance(terms, Call):
        return terms
    names = [name for name in Call.__dataclass_fields__ if hasattr(terms, name)]
    return Call(**{name: getattr(terms, name) for name in names})


def subcontracted(wanted: Subcontract, process: str) -> Call:
    """The call that a handler (or a client) makes through its peer."""
    sender = Sender(wanted.agent, wanted.instance or process, process)
    return replace(call_of(wanted), sender=sender)


@dataclass(frozen=True, slots=True)
class Contracted:
    """What the winner delivered. `items` are those of a streaming handler; its `content` is all of them."""

    content: msgspec.Raw
    usage: Usage
    award: AwardRecord
    stamps: Stamps
    items: tuple[msgspec.Raw, ...] = ()

    @property
    def winner(self) -> Candidate:
        """Who delivered it."""
        return self.award.won
