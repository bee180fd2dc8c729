"""What one process has promised: its bids in the air, its awards, and the newest owner seen of each job. No I/O.

The promises of this book:
- An award is begun once. A copy is answered with what there is, to whoever asked last with the right to ask.
- A bid in the air counts against its instance's capacity until it is rejected, awarded, or lapses.
- Once an epoch of a job was seen here, no older one gets anything started.
- An award is remembered until its deadline, its result as long as memory allows. When the book is full, what has ended makes
  room, the oldest first, unless it may be done at most once: a copy that still comes is done again, as by any other winner.
- Work that may be done at most once is begun by the first copy of its award only: whoever sends another does not know
  what became of the first, and neither does a participant that has been restarted.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mesh.protocols.acts import RefusalReason
from mesh.protocols.bids_in_air import BidsInAir
from mesh.protocols.commitment import AwardReceived, Commitment, Finished
from mesh.protocols.errors import Unavailable

REMEMBERED = 100_000
"""Awards kept at most; a book that is full of those that go on, or may be done at most once, takes no more, and forgets whom it
tells so."""
CONTENT = 64 * 1024 * 1024
"""Bytes of results kept at most."""
GRACE = 1.0
"""Seconds past its deadline that an award is remembered: queues take time."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """Start the work; if that cannot be, call `decline`."""

    commitment: Commitment


class Decline(msgspec.Struct, frozen=True, gc=False):
    """Tell the asker that this award is not taken, with the present bid."""

    received: AwardReceived
    reason: RefusalReason
    message: str = ""


class Confirm(msgspec.Struct, frozen=True, gc=False):
    """Tell the asker that the award is held."""

    commitment: Commitment


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Tell the asker what came of it."""

    commitment: Commitment


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Stop the work."""

    commitment: Commitment


Command = Begin | Decline | Confirm | Tell | Stop


class Commitments:
    """The book. Every `now` is read from one monotonic clock."""

    def __init__(self, *, remembered: int = REMEMBERED, content: int = CONTENT) -> None:
        self.bids = BidsInAir()
        self._remembered = remembered
        self._content = content
        self._awards: dict[str, Commitment] = {}
        self._epochs: dict[tuple[str, str], tuple[int, float]] = {}
        self._kept: dict[str, int] = {}
        self._ended: dict[str, None] = {}
        """Those that may be forgotten, the oldest first."""
        self._bytes = 0
        self._sweep_at = 0.0

    def award(self, received: AwardReceived, room: int, now: float) -> list[Command]:
        """An award has come; `room` is how much more its instance can take, bids in the air not counted."""
        if self._fenced(received, now):
            return [Decline(received, "fenced", "a newer owner of the job has been here")]
        self.sweep(now)
        known = self._awards.get(received.award)
        if known is not None:
            return self._copy(known, received)
        self._make_room()
        proposal = received.proposal
        bid = self.bids.take(proposal, received.seat, received.asker.process, now) if proposal else None
        why = self._obstacle(received, bid, room, now)
        if why is not None and len(self._awards) >= self._remembered:
            return [Decline(received, *why)]
        if bid is None:
            bid = Commitment.standing(received, now)
        else:
            bid.accept(received, now)
        self._awards[received.award] = bid
        if why is not None:
            return self.decline(received.award, *why)
        if received.proposal:
            self.bids.settle(received.conversation, received.asker.process)
        return [Begin(bid)]

    def _obstacle(
        self, received: AwardReceived, bid: Commitment | None, room: int, now: float
    ) -> tuple[RefusalReason, str] | None:
        if received.remaining <= 0:
            return "deadline", "no time is left"
        if received.effect == "at_most_once" and received.attempt > 1:
            return "unknown", "a copy of an award that is not remembered here is not begun"
        if len(self._awards) >= self._remembered:
            return "capacity", f"{self._remembered} awards are remembered already"
        if received.proposal:
            return None if bid is not None else ("expired", "the proposal has lapsed")
        if room <= self.bids.count(received.seat, now):
            return "capacity", "no room for more"
        return None

    def _copy(self, known: Commitment, received: AwardReceived) -> list[Command]:
        if not known.answers_to(received):
            return [Decline(received, "unknown", "this award belongs to another")]
        succeeds = received.asker.epoch > known.asker.epoch
        known.asker = received.asker
        if known.active:
            known.confirmed = True
            return [Confirm(known)]
        if known.state == "declined":
            return [Decline(received, known.reason, known.message)]
        if known.state == "cancelled" and succeeds:
            return [Decline(received, "unknown", "an earlier owner of the job had this cancelled")]
        return [Tell(known)]

    def decline(self, award: str, reason: RefusalReason, message: str = "") -> list[Command]:
        """The award just begun cannot be taken after all; copies are declined alike."""
        commitment = self._awards[award]
        assert commitment.received is not None
        commitment.step("decline")
        commitment.reason, commitment.message = reason, message
        return [Decline(msgspec.structs.replace(commitment.received, asker=commitment.asker), reason, message)]

    def confirmable(self, award: str) -> list[Command]:
        """Nothing was ready in time: confirm, unless it is finished or was confirmed already."""
        commitment = self._awards.get(award)
        if commitment is None or not commitment.active or commitment.confirmed:
            return []
        commitment.confirmed = True
        return [Confirm(commitment)]

    def begun(self, award: str) -> None:
        """The handler runs. Again, or too late: nothing happens."""
        commitment = self._awards.get(award)
        if commitment is not None and commitment.state == "awarded":
            commitment.step("begin")

    def finish(self, award: str, finished: Finished) -> list[Command]:
        """The work has come to an end. After a cancel nobody wants to know."""
        commitment = self._awards.get(award)
        if commitment is None or not commitment.active:
            return []
        commitment.step("fault" if finished.fault is not None else "finish")
        if commitment.received is not None and commitment.received.effect != "at_most_once":
            self._ended[award] = None
        self._keep(commitment, finished)
        return [Tell(commitment)]

    def cancel(self, received: AwardReceived, now: float) -> list[Command]:
        """The initiator wants it to stop. An award that comes after its cancel is not begun."""
        if self._fenced(received, now):
            return []
        known = self._awards.get(received.award)
        if known is None:
            self._forestall(received, now)
            return []
        if not known.answers_to(received) or known.state == "declined":
            return []
        known.asker = received.asker
        if not known.active:
            return [Tell(known)]
        known.step("cancel")
        return [Stop(known), Tell(known)]

    def _forestall(self, received: AwardReceived, now: float) -> None:
        self.sweep(now)
        self._make_room()
        if len(self._awards) < self._remembered:
            self._awards[received.award] = Commitment.standing(received, now)
            self._awards[received.award].step("cancel")

    def get(self, award: str) -> Commitment | None:
        """What is remembered of the award."""
        return self._awards.get(award)

    def active(self) -> Iterator[Commitment]:
        """Every award with work left to do."""
        return (each for each in self._awards.values() if each.active)

    def sweep(self, now: float) -> None:
        """Forget what has passed its deadline. Cheap to call often: it looks around once a second."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + 1.0
        self.bids.lapse(now)
        for award in [key for key, each in self._awards.items() if each.until + GRACE <= now and not each.active]:
            self._forget(award)
        self._epochs = {key: value for key, value in self._epochs.items() if value[1] + GRACE > now}

    def _make_room(self) -> None:
        while len(self._awards) >= self._remembered and self._ended:
            self._forget(next(iter(self._ended)))

    def _forget(self, award: str) -> None:
        del self._awards[award]
        self._ended.pop(award, None)
        self._bytes -= self._kept.pop(award, 0)

    def _fenced(self, received: AwardReceived, now: float) -> bool:
        """Whether a newer epoch of the job was seen here; if not, this one has been seen now."""
        if not received.job:
            return False
        key, epoch = (received.tenant, received.job), received.asker.epoch
        seen, until = self._epochs.get(key, (0, 0.0))
        self._epochs[key] = max(seen, epoch), max(until, now + received.remaining)
        return epoch < seen

    def _keep(self, commitment: Commitment, finished: Finished) -> None:
        commitment.finished = finished
        self._kept[commitment.award] = len(memoryview(finished.content))
        self._bytes += self._kept[commitment.award]
        while self._bytes > self._content and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self._bytes -= self._kept.pop(oldest)
            gone = Unavailable("the work was done, but its result is not kept any more").fault()
            self._awards[oldest].finished = Finished(fault=gone)
