"""A participant's book of commitments is bounded: what has ended makes room in it; where nothing has, whoever comes is told so, and
not remembered."""

from __future__ import annotations

import pytest

from mesh.protocols.commitment import Asker, AwardReceived, Finished
from mesh.protocols.commitments import GRACE, Begin, Commitments, Confirm, Decline
from mesh.protocols.constraints import Effect


def award(number: int, *, attempt: int = 1, remaining: float = 60.0, effect: Effect = "costly") -> AwardReceived:
    return AwardReceived(
        award=f"w{number}", conversation="talk", capability="do", seat="worker.a", asker=Asker("p", f"t{number}"),
        attempt=attempt, remaining=remaining, effect=effect,
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


@pytest.mark.parametrize("effect", ["pure", "idempotent", "costly"])
def test_what_has_ended_makes_room_the_oldest_first(effect: Effect) -> None:
    """With deadlines of ten minutes it would be full after 170 awards a second, and decline whatever came."""
    book = Commitments(remembered=3, content=1000)
    for number in range(50):
        [begun] = book.award(award(number, effect=effect), 100, 0.0)
        assert isinstance(begun, Begin)
        book.finish(f"w{number}", Finished(content=b"0" * 100))
    assert [number for number in range(50) if book.get(f"w{number}")] == [47, 48, 49]
    assert book._bytes == 300
    book.sweep(60.0 + GRACE)
    assert (book._awards, book._ended, book._bytes) == ({}, {}, 0)


def test_what_goes_on_and_what_may_be_done_at_most_once_is_not_forgotten() -> None:
    book = Commitments(remembered=2)
    book.award(award(0, effect="at_most_once"), 100, 0.0)
    book.finish("w0", Finished())
    book.award(award(1), 100, 0.0)
    [declined] = book.award(award(2), 100, 0.0)
    assert isinstance(declined, Decline)
    book.finish("w1", Finished())
    [begun] = book.award(award(3), 100, 0.0)
    assert isinstance(begun, Begin)
    assert [number for number in range(4) if book.get(f"w{number}")] == [0, 3]
