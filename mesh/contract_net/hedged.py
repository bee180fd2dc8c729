"""`HedgedCall`: a call for something `pure` that is awarded to a second instance when its first winner takes long.

Two auctions, each with a conversation of its own, under one deadline. Both awards stand in the ledger before they leave; the
first good result is the outcome, and the other winner is told to stop. After a crash the award that was journaled last is
taken up, as after any re-award: which of them answers does not matter, for the work is pure.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from mesh.actors.asking.hedging import hedged, must_be_pure
from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.ledger import AwardLedger
from mesh.protocols.awards import AwardRecord
from mesh.protocols.errors import NoBids
from mesh.protocols.selection import SelectionPolicy
from mesh.resilience.hedging import Hedge

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator


class Noted:
    """A ledger that knows who has the award now. `unless`: an award to whom that one names is not made."""

    def __init__(self, behind: AwardLedger | None, unless: Noted | None = None) -> None:
        self.winner = ""
        self._behind = behind
        self._unless = unless

    async def award(self, record: AwardRecord) -> None:
        """Pass it on.

        Raises:
            NoBids: only whoever has the work already would do it.
        """
        if self._unless is not None and record.winner == self._unless.winner:
            raise NoBids(f"nobody but {record.winner}, who has it already, would do {record.capability}")
        if self._behind is not None:
            await self._behind.award(record)
        self.winner = record.winner


class HedgedCall:
    """One call, awarded once or twice. `run` it once."""

    def __init__(
        self,
        initiator: Initiator,
        call: Call,
        conversation: str,
        policy: SelectionPolicy,
        hedge: Hedge | bool,
        ledger: AwardLedger | None = None,
        heard: dict[str, Any] | None = None,
    ) -> None:
        must_be_pure(call.effect or "costly", call.capability)
        self._initiator = initiator
        self._call = call
        self._conversation = conversation
        self._policy = policy
        self._hedge = hedge
        self._ledger = ledger
        self._first = Noted(ledger)
        self._heard = heard or {}

    async def run(self) -> Contracted:
        """Award, and again elsewhere if it takes long. Raises as `Initiator.contract`."""
        peer, call = self._initiator.peer, self._call
        pace = peer.hedging.paces.of(call.capability, "", self._hedge)
        first = self._initiator.give(call, self._conversation, self._policy, ledger=self._first, **self._heard)
        return await hedged(peer.clock, pace, first, self._elsewhere)

    def _elsewhere(self) -> Coroutine[Any, Any, Contracted] | None:
        """The second award; None while the first has not been made, or where there is only one who offers it."""
        peer, call, holder = self._initiator.peer, self._call, self._first.winner
        if not holder or len(peer.directory.lookup(call.capability)) < 2:
            return None
        return peer.hedging.noted(lambda: self._give_elsewhere(holder), call.capability)

    def _give_elsewhere(self, holder: str) -> Coroutine[Any, Any, Contracted]:
        ledger, conversation = Noted(self._ledger, self._first), self._initiator.peer.ids.uuid()
        return self._initiator.give(self._call, conversation, self._policy, ledger=ledger, avoid=holder, **self._heard)
