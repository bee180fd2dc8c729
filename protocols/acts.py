"""The communicative acts of the FIPA contract net (SC00029, SC00037) as they stand on the wire.

Each act is the payload of an envelope of kind `act` whose name is the performative. One `conversation` id runs through
a whole negotiation. Who may send what:

    initiator   → participant   call-for-proposal · accept-proposal · reject-proposal · cancel
    participant → initiator     propose · refuse · not-understood · confirm · inform-result · inform-done · failure

`confirm` is ours: the participant holds the award and has begun (or queued) the work; it is sent when no result is ready
in 20 ms. An accept-proposal with an empty `proposal` is a *standing* award: it takes the bid in the heartbeat as it is,
and is call and award in one. The result's content is the envelope's `usage`, `fault` and this act's `content`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.envelope import NULL
from mesh.protocols.naming.names import is_token

ABSURD = 1e12
"""Money or seconds. Nobody means as much, and sums with it stay finite: infinity is null on the wire, and in the journal."""

Performative = Literal[
    "call-for-proposal",
    "propose",
    "refuse",
    "not-understood",
    "accept-proposal",
    "reject-proposal",
    "confirm",
    "inform-result",
    "inform-done",
    "failure",
    "cancel",
]

Mode = Literal["standing", "directed", "broadcast"]

RefusalReason = Literal[
    "capacity",
    "labels",
    "boundary",
    "deadline",
    "budget",
    "draining",
    "declined",
    "expired",
    "late",
    "fenced",
    "unknown",
    "breaker",
    "killed",
]


class Bid(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an instance offers for a capability: measured figures, not wishes.

    `price` is money per call, `latency` the expected seconds until a result (waiting included), `success` the decayed
    share of calls that succeeded, `capacity` how many more calls it would take now, `queue` how many are waiting or
    running. `confidence` is the agent's own opinion, advisory. `tier` orders models from cheap (0) to dear.
    """

    price: float = 0.0
    latency: float = 0.0
    success: float = 1.0
    capacity: int = 1
    queue: int = 0
    confidence: float | None = None
    tier: int = 0

    @property
    def sane(self) -> bool:
        """Whether anybody could mean these figures: nothing is done for less than nothing, or before it is asked for, and
        whoever bids more than there is does not want to."""
        return 0.0 <= self.price < ABSURD and 0.0 <= self.latency < ABSURD and 0.0 <= self.success <= 1.0


class CallForProposal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who can do this, and on what terms? `input` is present when small (16 KiB), else only its size is told.

    `window` is how long, in seconds, proposals are awaited; those that come later are rejected as `late`. A call to one
    instance may be meant for more of its process: `instances` names them all, as `<agent>.<instance>`.
    """

    conversation: str
    capability: str
    window: float
    effect: Effect = "costly"
    round: int = 1
    input: msgspec.Raw = NULL
    input_size: int = 0
    constraints: Constraints = Constraints()
    instances: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A bid with a name on it. It binds the participant for `valid_for` seconds.

    `effect` is what its handler declares: who proposes may not be listed yet, so that the initiator cannot know.
    """

    id: str
    agent: str
    instance: str
    process: str
    version: str
    bid: Bid
    valid_for: float = 5.0
    labels: dict[str, str] = {}
    effect: Effect = "costly"

    def counts(self, process: str) -> bool:
        """Whether it is a proposal at all, coming from this process: for an instance of its own, that can be written to."""
        return self.process == process and is_token(self.agent) and is_token(self.instance)


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why one instance makes no proposal, or declines an award."""

    agent: str
    instance: str
    reason: RefusalReason
    message: str = ""
    retry_after: float | None = None
    bid: Bid | None = None


class Propose(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One process answers once for all its instances: its best proposals, and why the others make none."""

    conversation: str
    proposals: tuple[Proposal, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Refuse(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """No proposal, or an award declined. Declines carry a fresh bid, so that the initiator learns the present load."""

    conversation: str
    refusals: tuple[Refusal, ...]
    award: str = ""


class Misunderstood(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The act or its content made no sense to the participant."""

    conversation: str
    reason: str


class AcceptProposal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The award: do it. A copy with the same `award` id is answered with what there already is.

    `proposal` is empty on a standing award. `input` is the handler's payload. Job, epoch, step, key, deadline and
    constraints are on the envelope.
    """

    conversation: str
    award: str
    capability: str
    proposal: str = ""
    effect: Effect = "costly"
    input: msgspec.Raw = NULL


class RejectProposal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Not you: the proposal's capacity is free again, and that of `others` which the same process made."""

    conversation: str
    proposal: str
    reason: Literal["outbid", "late", "unacceptable", "cancelled"] = "outbid"
    others: tuple[str, ...] = ()


class Confirm(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The award is held and the work begun or queued (`state`); the answer to a copy while it runs."""

    conversation: str
    award: str
    state: Literal["queued", "running"] = "running"
    bid: Bid | None = None


class InformResult(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """It is done, and this came out; what it cost is the envelope's `usage`. `bid` is the instance's fresh standing bid."""

    conversation: str
    award: str
    content: msgspec.Raw = NULL
    bid: Bid | None = None


class InformDone(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """It is done; there is nothing to tell (also the answer to a `cancel` that took effect)."""

    conversation: str
    award: str
    bid: Bid | None = None


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """It was tried and did not succeed; the envelope's `fault` says how."""

    conversation: str
    award: str
    bid: Bid | None = None


class Cancel(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Stop the work of an award (FIPA cancel meta-protocol)."""

    conversation: str
    award: str
    reason: str = ""


ACTS: dict[str, type[msgspec.Struct]] = {
    "call-for-proposal": CallForProposal,
    "propose": Propose,
    "refuse": Refuse,
    "not-understood": Misunderstood,
    "accept-proposal": AcceptProposal,
    "reject-proposal": RejectProposal,
    "confirm": Confirm,
    "inform-result": InformResult,
    "inform-done": InformDone,
    "failure": Failure,
    "cancel": Cancel,
}
"""The content type of every performative."""
