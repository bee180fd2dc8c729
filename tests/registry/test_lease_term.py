"""The lease is counted from before the publish, and its states are a table."""

from __future__ import annotations

import pytest

from mesh.protocols.transitions import terminal
from mesh.registry.lease import MEANINGS, TRANSITIONS, Term


def test_the_count_runs_from_before_the_publish() -> None:
    term = Term(3)
    term.acquired(revision=7, began=10.0)
    assert term.holds(12.9)
    assert not term.holds(13.0)


def test_confidence_ends_at_half_the_lease() -> None:
    term = Term(3)
    term.acquired(1, began=10.0)
    assert term.confident(11.4)
    assert not term.confident(11.5)
    assert term.holds(11.5)


def test_an_unacknowledged_write_found_by_reading_back_does_not_lengthen_the_count() -> None:
    term = Term(3)
    term.acquired(1, began=10.0)
    term.adopt(5)
    assert term.revision == 5
    assert term.expires_at == 13.0


def test_running_out_is_told_once_and_can_be_made_good() -> None:
    term = Term(3)
    term.acquired(1, began=10.0)
    assert not term.lapse(12.9)
    assert term.lapse(13.0)
    assert not term.lapse(14.0)
    term.acquired(2, began=15.0)
    assert term.holds(16.0)
    assert term.lapse(18.0)


def test_a_vanished_lease_is_written_anew_and_held_again() -> None:
    term = Term(3)
    term.acquired(9, began=10.0)
    term.vanished()
    assert (term.revision, term.holds(10.1)) == (0, False)
    term.acquired(11, began=10.1)
    assert term.holds(10.2)


@pytest.mark.parametrize("end", ["superseded", "released"])
def test_nothing_brings_back_a_lease_that_is_over(end: str) -> None:
    term = Term(3)
    term.acquired(1, began=0.0)
    getattr(term, end)()
    assert term.over
    assert not term.holds(0.1)
    assert not term.lapse(99.0)
    assert not term.superseded()


@pytest.mark.parametrize("seconds", [0, -1, 1.5])
def test_a_lease_lasts_whole_seconds(seconds: float) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        Term(seconds)  # type: ignore[arg-type]


def test_every_step_has_its_meaning_and_every_state_can_end() -> None:
    assert set(MEANINGS) == {step for steps in TRANSITIONS.values() for step in steps}
    assert terminal(TRANSITIONS) == {"released"}
    assert all("released" in steps for state, steps in TRANSITIONS.items() if state != "released")
