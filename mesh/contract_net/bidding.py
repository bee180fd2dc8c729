"""From measured load to a bid. Pure.

    latency  = mean · (1 + ahead / capacity)      ahead: calls that would have to end first
    capacity = (1 + waiting allowance) · capacity - running - waiting - bids in the air - kept for other tenants

An instance accepts awards beyond those it can run at once, but only as many as `ALLOWANCE` for each it can run: shorter
queues mean more declines, longer ones that initiators with old figures all pile up at the same place (measured in a
simulation of 500 bidders: `tests/contract_net/test_choice_quality.py`).
"""

from __future__ import annotations

import msgspec

from mesh.protocols.acts import Bid

ALLOWANCE = 1.0
"""Awards that may wait, for each that can run at once."""
LINE = 6
"""Places in the line of those who were declined (`Line`)."""


def places(capacity: int) -> int:
    """How many awards an instance holds at most, those that wait among them."""
    return int(capacity * (1.0 + ALLOWANCE))


class Load(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an instance stands at this moment. `capacity` is what it handles at once now; `in_air` are its bids that nobody has
    answered yet, `kept` the places that are not for whoever asks: other tenants want them, or its own share is used up.
    """

    capacity: int
    running: int = 0
    waiting: int = 0
    in_air: int = 0
    kept: int = 0
    latency: float = 0.0
    success: float = 1.0
    price: float = 0.0
    tier: int = 0

    @property
    def room(self) -> int:
        """How many more awards it takes, its bids in the air not counted."""
        return places(self.capacity) - self.running - self.waiting - self.kept

    @property
    def expected(self) -> float:
        """Seconds until a result of one more."""
        ahead = self.running + self.waiting + self.in_air + 1 - self.capacity
        return self.latency * (1.0 + ahead / self.capacity) if ahead > 0 else self.latency


def bid(load: Load) -> Bid:
    """What these figures speak for."""
    room = load.room - load.in_air
    return Bid(
        price=load.price,
        latency=load.expected,
        success=load.success,
        capacity=room if room > 0 else 0,
        queue=load.running + load.waiting,
        tier=load.tier,
    )


def as_read(offer: Bid) -> Bid | None:
    """A bid out of somebody's own code, as whoever is told it will read it; None: nobody could, or could mean it. Figures of
    the wrong types would make whatever they are told in, heartbeats and results, a message that nobody can read."""
    try:
        read = _reader.decode(msgspec.json.encode(offer))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    return read if read.sane else None


_reader = msgspec.json.Decoder(Bid)
