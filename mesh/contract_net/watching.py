"""`Watching`: which negotiations wait for which process, and which for room, so that a death or a free place is acted on at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.protocols import auction_messages as m

if TYPE_CHECKING:
    from mesh.contract_net.negotiation import Negotiation


class Watching:
    """Of one initiator. Each group is in the order in which they began to wait."""

    def __init__(self) -> None:
        self._held: dict[str, dict[Negotiation, None]] = {}
        self._paused: dict[str, dict[Negotiation, None]] = {}
        self._winners: dict[Negotiation, str] = {}

    def look(self, negotiation: Negotiation) -> None:
        """It may wait for another process now, or for room. Again: nothing happens."""
        winner = negotiation.auction.winner
        self._hold(negotiation, winner.process if winner is not None and not negotiation.auction.over else "")
        capability = negotiation.call.capability
        if negotiation.auction.paused:
            self._paused.setdefault(capability, {})[negotiation] = None
        else:
            self._go_on(negotiation, capability)

    def forget(self, negotiation: Negotiation) -> None:
        """It is over."""
        self._hold(negotiation, "")
        self._go_on(negotiation, negotiation.call.capability)

    def on(self, process: str) -> list[Negotiation]:
        """Those that wait for this process."""
        return list(self._held.get(process, ()))

    def everybody(self) -> list[Negotiation]:
        """All that wait for some process."""
        return list(self._winners)

    def freed(self, capability: str) -> None:
        """Somebody has answered, and may have room: the one that has waited longest looks again."""
        paused = self._paused.get(capability)
        if paused:
            negotiation = next(iter(paused))
            self._go_on(negotiation, capability)
            negotiation.event(m.Freed())

    def _hold(self, negotiation: Negotiation, process: str) -> None:
        before = self._winners.get(negotiation, "")
        if process == before:
            return
        if before:
            _discard(self._held, before, negotiation)
            del self._winners[negotiation]
        if process:
            self._winners[negotiation] = process
            self._held.setdefault(process, {})[negotiation] = None

    def _go_on(self, negotiation: Negotiation, capability: str) -> None:
        _discard(self._paused, capability, negotiation)


def _discard(groups: dict[str, dict[Negotiation, None]], name: str, negotiation: Negotiation) -> None:
    group = groups.get(name)
    if group is not None:
        group.pop(negotiation, None)
        if not group:
            del groups[name]
