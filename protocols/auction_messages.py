"""What goes into an auction and what comes out of it: the vocabulary of the initiator's state machine.

Events tell what happened, commands what to do next; between them stands `Auction`. `by` is the process a message came
from, which the transport vouches for.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.acts import Mode, Refusal
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.envelope import NULL, Stamps
from mesh.protocols.errors import Fault


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is called for. `deadline` is on the monotonic clock that every `now` is read from.

    `listed`: the effect is the strictest of those that are listed, and each award goes by its winner's own. Else the caller has
    said it, and only a winner that may do it at most once is stricter.
    """

    conversation: str
    capability: str
    deadline: float
    effect: Effect = "costly"
    listed: bool = False
    mode: Mode = "standing"
    constraints: Constraints = Constraints()


# -- events


class Called(msgspec.Struct, frozen=True, gc=False):
    """The call is out. `expected` are those who will answer: processes, or `<process>.<agent>.<instance>` keys.

    Standing bids need no answer and come at once, as `candidates`, sampled from the `known`.
    """

    expected: frozenset[str] = frozenset()
    candidates: tuple[Candidate, ...] = ()
    known: int = 0


class Proposed(msgspec.Struct, frozen=True, gc=False):
    """One process answered the call for all its instances."""

    by: str
    candidates: tuple[Candidate, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class NobodyListens(msgspec.Struct, frozen=True, gc=False):
    """The server answered 503 to the call, or to the part of it that went to `key`."""

    key: str = ""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """The award is journaled and has left."""

    award: str


class Declined(msgspec.Struct, frozen=True, gc=False):
    """The winner does not take the award, or gives it back before it began."""

    award: str
    by: str
    refusal: Refusal


class Confirmed(msgspec.Struct, frozen=True, gc=False):
    """The winner holds the award; `running` when the work has begun."""

    award: str
    by: str
    running: bool = True


class Progressed(msgspec.Struct, frozen=True, gc=False):
    """A sign of life from the work: an item, or progress."""

    award: str
    by: str


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """The result; `degraded` says why it is less than what was called for (empty: it is not)."""

    award: str
    by: str
    content: msgspec.Raw = NULL
    usage: Usage = Usage()
    stamps: Stamps = Stamps()
    degraded: str = ""


class Faulted(msgspec.Struct, frozen=True, gc=False):
    """The work was tried and failed, or the winner does not understand the award."""

    award: str
    by: str
    fault: Fault
    usage: Usage = Usage()
    stamps: Stamps = Stamps()


class Vanished(msgspec.Struct, frozen=True, gc=False):
    """The server answered 503 to copy number `attempt` of the award: it reached nobody."""

    award: str
    attempt: int = 1


class Suspected(msgspec.Struct, frozen=True, gc=False):
    """Somebody says that the process is gone; empty: our own connection was away, and anything may have been missed."""

    process: str = ""


class Freed(msgspec.Struct, frozen=True, gc=False):
    """Capacity may have become free: a pause between rounds need not be waited out."""


class CancelAsked(msgspec.Struct, frozen=True, gc=False):
    """The caller wants it to stop."""

    reason: str = ""


class Ticked(msgspec.Struct, frozen=True, gc=False):
    """Time has passed; `Auction.due` says when this is wanted."""


Event = (
    Called
    | Proposed
    | NobodyListens
    | Sent
    | Declined
    | Confirmed
    | Progressed
    | Succeeded
    | Faulted
    | Vanished
    | Suspected
    | Freed
    | CancelAsked
    | Ticked
)

# -- commands


class Survey(msgspec.Struct, frozen=True, gc=False):
    """Find out who would do it, and answer with `Called`. Those in `avoid` let an award down before: ask them last."""

    round: int
    mode: Mode
    window: float
    avoid: frozenset[str] = frozenset()


class Reject(msgspec.Struct, frozen=True, gc=False):
    """Tell this candidate that its proposal is not taken, and neither are those of `others` in its process."""

    candidate: Candidate
    reason: Literal["outbid", "late", "unacceptable", "cancelled"]
    others: tuple[Candidate, ...] = ()


class Award(msgspec.Struct, frozen=True, gc=False):
    """Journal the record, then send the award to the winner, then answer with `Sent`."""

    record: AwardRecord
    winner: Candidate


class Probe(msgspec.Struct, frozen=True, gc=False):
    """Send the winner a copy of its award, numbered `attempt`: it answers with what there is."""

    record: AwardRecord
    winner: Candidate
    attempt: int


class CancelAward(msgspec.Struct, frozen=True, gc=False):
    """Ask this former winner to stop, should it still be able to hear."""

    record: AwardRecord
    winner: Candidate
    reason: str


class Settle(msgspec.Struct, frozen=True, gc=False):
    """The commitment of this candidate was kept or broken: its next score depends on it.

    `ending` is how it was kept; one that failed by somebody else's fault has none. Broken because it was not done before
    the deadline, it is `late`.
    """

    candidate: Candidate
    kept: bool
    ending: Succeeded | Faulted | None = None
    late: bool = False


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """This candidate's process does not answer, or is gone: pass it over until it shows a sign of life."""

    candidate: Candidate
    why: str


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """A result that came too late, from a winner given up before: keep it, do not apply it."""

    result: Succeeded | Faulted


Command = Survey | Reject | Award | Probe | CancelAward | Settle | Suspect | Evidence


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How it ended. `fault` is None only when it is done; `record` is the last award, if there was any; `degraded` as in
    `Succeeded`."""

    content: msgspec.Raw = NULL
    usage: Usage = Usage()
    stamps: Stamps = Stamps()
    fault: Fault | None = None
    record: AwardRecord | None = None
    degraded: str = ""
