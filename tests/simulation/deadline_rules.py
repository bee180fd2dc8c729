"""`DeadlineRules`: nothing is begun for a caller whose deadline has passed, but for the time that its message was on its way.

A deadline travels as time remaining, for no clock is compared with another: so nobody knows how long the way took. It is known
here. What is looked at is each caller's own deadline, in true time: an ask's, or that of a call whose award this is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mesh.actors.asking.question import Question
from mesh.contract_net.mail import Mail
from mesh.contract_net.quiet import QuietAward
from mesh.protocols.envelope import Envelope
from tests.simulation.handling import Handling
from tests.simulation.place import HERE
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants

MOMENT = 1e-6
"""Seconds: clocks that begin anywhere are not finer."""


class Sent(NamedTuple):
    """A message that asks for work: when it was made, and when whoever made it stops waiting. True time."""

    at: float
    until: float


class DeadlineRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._sent: dict[str, Sent] = {}
        invariants.world.outside.handlings.on_begin.append(self._begun)
        seams.after(Question, "envelope", self._asks)
        seams.after(QuietAward, "_envelope", self._awards)
        seams.after(Mail, "_envelope", self._mails)

    def _asks(self, question: Question, envelope: Envelope, *about: object) -> None:
        self._note(envelope, question.deadline.at)

    def _awards(self, award: QuietAward, envelope: Envelope) -> None:
        self._note(envelope, award.call.deadline.at)

    def _mails(self, mail: Mail, envelope: Envelope, *about: object, **named: object) -> None:
        self._note(envelope, mail._call.deadline.at)

    def _note(self, envelope: Envelope, until: float) -> None:
        self._sent[envelope.id] = Sent(self._invariants.world.loop.now, until - HERE.get().offset)

    def _begun(self, handling: Handling) -> None:
        work = handling.context._work
        sent = self._sent.get(work.envelope.id)
        if sent is None:
            return  # nobody waits for it
        now, came = self._invariants.world.loop.now, work.deadline.at - handling.place.offset
        remaining = work.envelope.remaining
        arrived = work.offered_at - handling.place.offset if remaining is None else came - remaining
        late = now - (sent.until + arrived - sent.at)
        if late > MOMENT:
            self._invariants.violated(
                f"{handling} begins {late:.3f} s after its caller gave up, the {arrived - sent.at:.3f} s of its way allowed for"
            )
