"""What was delivered is noted first and reckoned later: nobody who looks, and nothing that happens next, can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.contract_net.track_record import NOTED, Bidder, TrackRecord
from mesh.protocols.acts import Bid
from mesh.protocols.conduct import Forgetting

WHO = Bidder("p.a.1", "a", "1")
BID = Bid(latency=1.0)
HALF = Forgetting(calls=1e12, seconds=100.0)


def delivered(times: int = 4) -> TrackRecord:
    """So many calls that took a second, at the beginning of time."""
    record = TrackRecord(HALF)
    for _ in range(times):
        record.delivered(WHO, "do", BID, 0.0, 1.0)
    return record


@pytest.mark.parametrize(
    "later",
    [lambda record: record.failed(WHO, "do", BID, 200.0), lambda record: record.broken(WHO, "do", 200.0)],
    ids=["failed", "broken"],
)
def test_what_happened_before_a_failure_has_faded_by_then(later: Callable[[TrackRecord], None]) -> None:
    record = delivered()
    later(record)
    found = record.about("do", 200.0)["a", "1"]
    assert found.tried == 5.0
    assert found.calls == pytest.approx(1.0)


def test_an_output_can_be_revoked_the_moment_it_was_delivered() -> None:
    record = delivered()
    record.revoked("a", "1", "do")
    assert record.about("do", 0.0)["a", "1"].succeeded == pytest.approx(3.0)
    record.revoked("nobody", "1", "do")
    assert set(record.about("do", 0.0)) == {("a", "1")}


def test_instances_are_known_by_what_they_delivered_just_now() -> None:
    assert delivered().instances("do", 0.0)[WHO].calls == pytest.approx(4.0)


def test_no_more_is_noted_than_is_bounded_where_nobody_ever_looks() -> None:
    assert len(delivered(NOTED - 1)) == 0
    assert len(delivered(NOTED)) == 1
