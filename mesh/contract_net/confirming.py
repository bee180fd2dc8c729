"""`Confirmations`: awards whose result is not ready soon are confirmed.

Nearly all are finished by then. All wait equally long, so they stand in one line with one alarm, and who finishes need not
leave it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mesh.contract_net.bids import Seat
from mesh.protocols.commitment import Commitment
from mesh.protocols.envelope import Envelope
from mesh.protocols.ports import Clock
from mesh.resilience.alarms import RESOLUTION, alarms

CONFIRM_AFTER = 0.02
"""Seconds after which an award whose result is not ready is confirmed."""

Confirm = Callable[[Commitment, Envelope, Seat], None]


class Confirmations:
    """The line of one participant. `confirm` is handed the commitment, the envelope of its award, and the seat."""

    def __init__(self, clock: Clock, confirm: Confirm) -> None:
        self._clock = clock
        self._confirm = confirm
        self._line: deque[tuple[float, Commitment, Envelope, Seat]] = deque()
        self._set = False

    def expect(self, offered_at: float, commitment: Commitment, cause: Envelope, seat: Seat) -> None:
        """Confirm it, if by then nobody has and there is work left to do."""
        due = offered_at + CONFIRM_AFTER
        self._line.append((due, commitment, cause, seat))
        if not self._set:
            self._set = True
            alarms().at(due, self._ring)

    def _ring(self) -> None:
        line, now = self._line, self._clock.monotonic() + RESOLUTION
        while line and line[0][0] <= now:
            _, commitment, cause, seat = line.popleft()
            if commitment.active and not commitment.confirmed:
                self._confirm(commitment, cause, seat)
        self._set = bool(line)
        if line:
            alarms().at(line[0][0], self._ring)
