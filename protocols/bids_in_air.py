"""The bids of one process that nobody has answered yet. Each holds capacity of its instance until it lapses."""

from __future__ import annotations

import heapq
from collections import Counter

from mesh.protocols.acts import Proposal
from mesh.protocols.commitment import Commitment


class BidsInAir:
    """Part of the book of commitments. Every `now` is read from one monotonic clock."""

    def __init__(self) -> None:
        self._bids: dict[str, Commitment] = {}
        self._by_call: dict[str, dict[str, str]] = {}
        self._by_seat: Counter[str] = Counter()
        self._lapses: list[tuple[float, str]] = []

    def count(self, seat: str, now: float) -> int:
        """How many bids of this instance (`<agent>.<instance>`) are in the air."""
        if not self._by_seat:
            return 0
        self.lapse(now)
        return self._by_seat.get(seat, 0)

    def offered(self, conversation: str, seat: str, now: float) -> Proposal | None:
        """The proposal made to this call already: a copy of the call is answered with it."""
        self.lapse(now)
        bid = self._bids.get(self._by_call.get(conversation, {}).get(seat, ""))
        return bid.proposal if bid else None

    def offer(self, proposal: Proposal, seat: str, conversation: str, process: str, now: float) -> None:
        """A proposal goes to `process`, and binds `valid_for` seconds from now."""
        bid = self._bids[proposal.id] = Commitment.offering(proposal, seat, conversation, process, now)
        self._by_call.setdefault(conversation, {})[seat] = proposal.id
        self._by_seat[seat] += 1
        heapq.heappush(self._lapses, (bid.until, proposal.id))

    def reject(self, proposal: str, process: str) -> None:
        """The initiator takes another. Again, or after the lease, or from somebody else: nothing happens."""
        bid = self._bids.get(proposal)
        if bid is not None and bid.asker.process == process:
            bid.step("reject")
            self._release(proposal, bid)

    def settle(self, conversation: str, process: str) -> None:
        """An award of this call has been begun here: the others that were offered for it are not needed."""
        for proposal in list(self._by_call.get(conversation, {}).values()):
            self.reject(proposal, process)

    def take(self, proposal: str, seat: str, process: str, now: float) -> Commitment | None:
        """The bid that is being awarded, no longer in the air; None if it has lapsed or was not made to `process`."""
        self.lapse(now)
        bid = self._bids.get(proposal)
        if bid is None or (bid.seat, bid.asker.process) != (seat, process):
            return None
        self._release(proposal, bid)
        return bid

    def lapse(self, now: float) -> None:
        """Release what has lapsed."""
        while self._lapses and self._lapses[0][0] <= now:
            _, proposal = heapq.heappop(self._lapses)
            bid = self._bids.get(proposal)
            if bid is not None:
                bid.step("lapse")
                self._release(proposal, bid)

    def _release(self, proposal: str, bid: Commitment) -> None:
        del self._bids[proposal]
        offered = self._by_call.get(bid.conversation)
        if offered is not None and offered.get(bid.seat) == proposal:
            del offered[bid.seat]
            if not offered:
                del self._by_call[bid.conversation]
        self._by_seat[bid.seat] -= 1
        if not self._by_seat[bid.seat]:
            del self._by_seat[bid.seat]
