"""The participant of a contract net: one commitment, from the bid to its end.

A proposal binds until its lease lapses; an award makes it a commitment to do the work and to tell what came of it; a
standing award starts there. Who must be told (`asker`) can change: the newest owner of a job takes its awards over.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.acts import Proposal, RefusalReason
from mesh.protocols.constraints import Effect, Usage
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import Fault
from mesh.protocols.transitions import as_markdown, describe, follow, terminal

State = Literal["bidding", "awarded", "running", "done", "failed", "cancelled", "declined", "rejected", "expired"]

Step = Literal["accept", "reject", "lapse", "decline", "begin", "finish", "fault", "cancel"]

MEANINGS: dict[Step, str] = {
    "accept": "the award has come, and the lease still holds",
    "reject": "the initiator takes another",
    "lapse": "the lease is over and no award has come",
    "decline": "the award cannot be taken after all",
    "begin": "the handler has begun",
    "finish": "there is a result",
    "fault": "the work failed",
    "cancel": "the initiator wants it to stop",
}

TRANSITIONS: dict[State, dict[Step, State]] = {
    "bidding": {"accept": "awarded", "reject": "rejected", "lapse": "expired"},
    "awarded": {
        "decline": "declined",
        "begin": "running",
        "finish": "done",
        "fault": "failed",
        "cancel": "cancelled",
    },
    "running": {"finish": "done", "fault": "failed", "cancel": "cancelled"},
    "done": {},
    "failed": {},
    "cancelled": {},
    "declined": {},
    "rejected": {},
    "expired": {},
}

TERMINAL = terminal(TRANSITIONS)


def diagram() -> str:
    """The table as Mermaid source."""
    return describe(TRANSITIONS, "bidding")


def table() -> str:
    """The steps as Markdown."""
    return as_markdown(TRANSITIONS, MEANINGS)


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Whom to answer: the process, and the token of its reply subject. `epoch` is that of the job's owner."""

    process: str
    token: str
    epoch: int = 0


class AwardReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An accept-proposal as it arrived for one `seat` (`<agent>.<instance>`); `remaining` is in seconds."""

    award: str
    conversation: str
    capability: str
    seat: str
    asker: Asker
    proposal: str = ""
    effect: Effect = "costly"
    attempt: int = 1
    tenant: str = "default"
    job: str = ""
    remaining: float = 60.0


class Finished(msgspec.Struct, frozen=True, gc=False):
    """What came of it: a result, or a fault. A cancelled award has neither. `degraded` says why a result is less than it
    should be; `items` is how many were streamed before it."""

    content: msgspec.Raw = NULL
    usage: Usage = Usage()
    fault: Fault | None = None
    degraded: str = ""
    items: int = 0


class Commitment:
    """One bid, and what became of it. `until` is when it lapses or may be forgotten, on the monotonic clock."""

    __slots__ = (
        "asker",
        "award",
        "confirmed",
        "conversation",
        "finished",
        "message",
        "proposal",
        "reason",
        "received",
        "seat",
        "state",
        "until",
    )

    def __init__(self, seat: str, conversation: str, asker: Asker, until: float) -> None:
        self.seat = seat
        self.conversation = conversation
        self.award = ""
        """The award's id; empty while it is a bid."""
        self.asker = asker
        self.until = until
        self.state: State = "bidding"
        self.proposal: Proposal | None = None
        self.received: AwardReceived | None = None
        self.confirmed = False
        self.finished: Finished | None = None
        self.reason: RefusalReason = "declined"
        self.message = ""

    @classmethod
    def offering(cls, proposal: Proposal, seat: str, conversation: str, process: str, now: float) -> Commitment:
        """A proposal that goes to `process` now."""
        commitment = cls(seat, conversation, Asker(process, ""), now + proposal.valid_for)
        commitment.proposal = proposal
        return commitment

    @classmethod
    def standing(cls, received: AwardReceived, now: float) -> Commitment:
        """An award of the standing bid: there was no proposal."""
        commitment = cls(received.seat, received.conversation, received.asker, now)
        commitment.accept(received, now)
        return commitment

    def accept(self, received: AwardReceived, now: float) -> None:
        """The award has come."""
        self.step("accept")
        self.award, self.received = received.award, received
        self.asker, self.until = received.asker, now + received.remaining

    @property
    def active(self) -> bool:
        """Whether there is work to be done, or being done."""
        return self.state in ("awarded", "running")

    def step(self, step: Step) -> None:
        """Follow the table."""
        self.state = follow(TRANSITIONS, self.state, step)

    def answers_to(self, received: AwardReceived) -> bool:
        """Whether this copy comes from someone with a claim to the award: who sent it, or a newer owner of its job."""
        mine, asker = self.received, received.asker
        if mine is None or (received.tenant, received.job, received.seat) != (mine.tenant, mine.job, mine.seat):
            return False
        return asker.process == self.asker.process or (bool(mine.job) and asker.epoch > self.asker.epoch)
