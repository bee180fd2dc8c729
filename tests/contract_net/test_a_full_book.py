"""A participant's book of commitments is bounded: whoever comes when it is full is told so, and not remembered."""

from __future__ import annotations

import pytest

from mesh.protocols.commitment import Asker, AwardReceived
from mesh.protocols.commitments import GRACE, Begin, Commitments, Confirm, Decline


def award(number: int, *, attempt: int = 1, remaining: float = 60.0) -> AwardReceived:
    return AwardReceived(
        award=f"w{number}", conversation="talk", capability="do", seat="worker.a", asker=Asker("p", f"t{number}"),
        attempt=attempt, remaining=remaining,
    )  # fmt: skip


@pytest.mark.parametrize("remaining", [60.0, 0.0], ids=["with-time", "too-late"])
def test_who_comes_when_it_is_full_leaves_nothing_behind(remaining: float) -> None:
    """Else the storm that fills it would go on filling it, until the deadline of the last one that was declined."""
    book = Commitments(remembered=2)
    assert [type(each) for number in range(2) for each in book.award(award(number), 100, 0.0)] == [Begin, Begin]
    for number in range(2, 50):
        [declined] = book.award(award(number, remaining=remaining), 100, 0.0)
        assert isinstance(declined, Decline)
        assert declined.reason == ("capacity" if remaining else "deadline")
        assert book.get(f"w{number}") is None


def test_copies_of_what_it_has_are_answered_and_there_is_room_again_once_deadlines_have_passed() -> None:
    book = Commitments(remembered=1)
    book.award(award(0), 100, 0.0)
    [confirmed] = book.award(award(0, attempt=2), 100, 1.0)
    assert isinstance(confirmed, Confirm)
    book.cancel(award(0), 2.0)
    [begun] = book.award(award(1), 100, 60.0 + GRACE)
    assert isinstance(begun, Begin)
