"""Beats tell what changed, at most once a second, and everything now and then."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.registry.beats import MOST, PART, Beats
from mesh.registry.records import Figures


def told(beats: Beats, now: float) -> dict[str, int]:
    return {key: figures.queue for part in beats.take(now) for key, figures in part.figures.items()}


def test_a_beat_carries_only_what_changed() -> None:
    beats = Beats("p", "i")
    beats.set("a.1", Figures(queue=1))
    beats.set("b.1", Figures(queue=2))
    assert told(beats, 0.0) == {"a.1": 1, "b.1": 2}
    beats.set("a.1", Figures(queue=3))
    assert told(beats, 1.0) == {"a.1": 3}


def test_the_same_figures_again_are_nothing_to_tell() -> None:
    beats = Beats("p", "i")
    beats.set("a.1", Figures(queue=1))
    beats.take(0.0)
    assert not beats.set("a.1", Figures(queue=1))
    assert beats.due_at == 10.0


def test_changes_wait_for_their_second() -> None:
    beats = Beats("p", "i")
    beats.take(0.0)
    assert beats.set("a.1", Figures(queue=1))
    assert not beats.set("a.1", Figures(queue=2))
    assert not beats.take(0.5)
    assert told(beats, 1.0) == {"a.1": 2}


def test_every_tenth_second_everything_is_told() -> None:
    beats = Beats("p", "i")
    beats.set("a.1", Figures(queue=1))
    beats.take(0.0)
    assert not beats.take(9.9)
    assert told(beats, 10.0) == {"a.1": 1}


def test_refresh_tells_everything_at_the_next_chance() -> None:
    beats = Beats("p", "i")
    beats.set("a.1", Figures(queue=1))
    beats.take(0.0)
    beats.refresh()
    assert told(beats, 1.0) == {"a.1": 1}


def test_figures_of_thousands_come_in_parts_and_the_last_says_so() -> None:
    beats = Beats("p", "i")
    for number in range(2 * PART + 1):
        beats.set(f"a.{number}", Figures())
    parts = beats.take(0.0)
    assert [part.more for part in parts] == [True, True, False]
    assert sum(len(part.figures) for part in parts) == 2 * PART + 1
    assert {part.number for part in parts} == {1}


def test_of_very_many_changes_those_that_waited_longest_are_told_first() -> None:
    beats = Beats("p", "i")
    keys = [f"a.{number}" for number in range(2 * MOST)]
    for key in keys:
        beats.set(key, Figures())
    first = told(beats, 0.0)
    beats.set(keys[0], Figures(queue=1))
    assert list(first) == keys[:MOST]
    assert list(told(beats, 1.0)) == keys[MOST:]
    assert told(beats, 2.0) == {keys[0]: 1}


def test_full_beats_of_very_many_go_on_where_the_last_one_ended() -> None:
    beats = Beats("p", "i")
    keys = [f"a.{number}" for number in range(2 * MOST + 1)]
    for key in keys:
        beats.set(key, Figures())
    now = 0.0
    while told(beats, now):
        now += 1.0
    beats.drop(keys[0])
    heard: set[str] = set()
    for _ in range(3):
        now = beats.due_at
        heard |= told(beats, now).keys()
    assert heard == set(keys[1:])


def test_who_asks_a_process_of_very_many_hears_the_newest() -> None:
    beats = Beats("p", "i")
    for number in range(MOST + 5):
        beats.set(f"a.{number}", Figures())
    beats.set("a.0", Figures(queue=1))
    heard = [key for part in beats.everything() for key in part.figures]
    assert len(heard) == MOST
    assert "a.0" in heard


def test_an_idle_process_still_says_that_it_is_there() -> None:
    (only,) = Beats("p", "i").take(0.0)
    assert only.figures == {}


def test_a_dropped_instance_is_told_no_more() -> None:
    beats = Beats("p", "i")
    beats.set("a.1", Figures())
    beats.drop("a.1")
    assert told(beats, 0.0) == {}
    assert [part.figures for part in beats.everything()] == [{}]


steps = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.floats(0, 3)), max_size=40)


@given(steps)
def test_whoever_hears_every_beat_knows_every_figure_a_second_later(changes: list[tuple[str, int, float]]) -> None:
    beats, heard, now, times = Beats("p", "i"), {}, 0.0, []
    true: dict[str, int] = {}
    for key, queue, pause in changes:
        beats.set(key, Figures(queue=queue))
        true[key] = queue
        if part := told(beats, now):
            times.append(now)
            heard |= part
        now += pause
    heard |= told(beats, now + 1.0)
    assert heard == true
    assert all(later - earlier >= 1.0 - 1e-6 for earlier, later in pairwise(times))
