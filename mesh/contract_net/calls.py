"""What is called for, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mesh.actors.asking.subcontract import UNCONSTRAINED, Subcontract
from mesh.protocols.acts import Mode
from mesh.protocols.auction_messages import Terms
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.envelope import Sender, Stamps
from mesh.resilience.breaker_names import Key
from mesh.resilience.deadline import Deadline
from mesh.resilience.quality import version_of


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Work to be given away: what is wanted, on what terms, and on whose behalf.

    `effect` None means: as the capability declares it; `listed`, that this is where it is from. An `idempotent` call without a `key` gets one. `rounds` bounds how
    often the call is opened again when nobody is acceptable (None: as the policy says). `attempt` is the caller's own
    count of the step; copies of an award are numbered apart from it. `sender` is who calls (the process itself if empty).
    """

    capability: str
    input: msgspec.Raw
    deadline: Deadline
    constraints: Constraints = UNCONSTRAINED
    effect: Effect | None = None
    listed: bool = False
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
    ext: dict[str, Any] = {}

    @property
    def inherits(self) -> bool:
        """Whether there is more to hand down than what is called for: not for what a process calls of its own accord."""
        return bool(
            self.causation or self.hops or self.chain or self.job or self.epoch or self.step or self.trace or self.ext
        ) or self.tenant != "default"  # fmt: skip

    def terms(self, conversation: str, mode: Mode) -> Terms:
        """What its auction is held about."""
        return Terms(
            conversation=conversation,
            capability=self.capability,
            deadline=self.deadline.at,
            effect=self.effect or "costly",
            listed=self.listed,
            mode=mode,
            constraints=self.constraints,
        )


def as_won(call: Call, effect: Effect) -> Call:
    """The call as it goes to a winner that declares this effect: one that may do it at most once is believed."""
    return msgspec.structs.replace(call, effect=effect) if effect == "at_most_once" != call.effect else call


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
    return Call(**{name: getattr(terms, name) for name in Call.__struct_fields__ if hasattr(terms, name)})


def subcontracted(wanted: Subcontract, effect: Effect, conversation: str, *, keyed: bool) -> Call:
    """The call that a handler (or a client) makes through its peer, complete: nothing about it is left to be looked up. `keyed`:
    it needs a key."""
    lineage = wanted.lineage
    call = Call(
        capability=wanted.capability,
        input=wanted.input,
        deadline=wanted.deadline,
        constraints=wanted.constraints,
        effect=effect,
        listed=wanted.effect is None,
        mode=wanted.mode,
        key=wanted.key or (conversation if keyed else ""),
        correlation=lineage.correlation or conversation,
        sender=lineage.sender,
    )
    if not lineage.inherits:
        return call
    return msgspec.structs.replace(
        call,
        tenant=lineage.tenant,
        job=lineage.job,
        epoch=lineage.epoch,
        step=lineage.step,
        causation=lineage.causation,
        chain=lineage.chain,
        hops=lineage.hops,
        trace=lineage.trace,
        ext=lineage.ext,
    )


class Contracted:
    """What the winner delivered. `items` are those of a streaming handler; its `content` is all of them. `degraded` says why
    it is less than what was called for (empty: it is not); `output` names the version that made it, and what for.

    The award may be handed in as something that writes it out: most callers never read it.
    """

    __slots__ = ("_award", "content", "degraded", "items", "output", "stamps", "usage")

    def __init__(
        self,
        content: msgspec.Raw,
        usage: Usage,
        award: AwardRecord | Callable[[], AwardRecord],
        stamps: Stamps,
        items: tuple[msgspec.Raw, ...] = (),
        degraded: str = "",
        output: Key = ("", ""),
    ) -> None:
        self.content = content
        self.output = output
        self.degraded = degraded
        self.usage = usage
        self.stamps = stamps
        self.items = items
        self._award = award

    @property
    def award(self) -> AwardRecord:
        """Why it was given to whom."""
        if not isinstance(self._award, AwardRecord):
            self._award = self._award()
        return self._award

    @property
    def winner(self) -> Candidate:
        """Who delivered it."""
        return self.award.won


def output_of(winner: Candidate, capability: str) -> Key:
    """Whose output it will be: that of a version, for this capability."""
    return version_of(winner.agent, winner.version), capability
