"""A row knows whether its floor holds; a series compares round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.benchmarks.ground import Ground
from tests.benchmarks.nursery import Nursery
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.rounds import ratio_row
from tests.benchmarks.rows import Row, Side, Target
from tests.benchmarks.series import Sample, Series


@pytest.mark.parametrize(
    ("better", "figure", "passed"),
    [("lower", 1.0, True), ("lower", 1.01, False), ("higher", 1.0, True), ("higher", 0.99, False)],
)
def test_a_floor_is_a_bound_that_itself_still_holds(better: Any, figure: float, passed: bool) -> None:
    assert Row(target=Target(name="it", floor=1.0, better=better), figure=figure).passed is passed


def test_a_row_without_a_floor_cannot_be_missed() -> None:
    assert Row(target=Target(name="it", aim=1.0), figure=1e9).passed


def test_an_aim_that_is_missed_fails_nothing() -> None:
    assert Row(target=Target(name="it", floor=2.0, aim=1.0), figure=1.5).passed


def series(*figures: float) -> Series:
    return Series(tuple(Sample(figure, here=2e-6, server=1e-6) for figure in figures))


def test_a_ratio_is_taken_round_by_round_before_the_median() -> None:
    """The machine slowed down threefold after the first round; the ratio does not see it."""
    assert series(2.0, 6.0, 6.0).ratio(series(1.0, 3.0, 3.0)) == (2.0, 2.0, 2.0)
    assert series(1.0, 2.0, 4.0).ratio(series(1.0, 1.0, 1.0)) == (2.0, 1.0, 4.0)


def test_rounds_of_different_number_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        series(1.0).ratio(series(1.0, 2.0))


def test_a_ratio_row_keeps_both_sides_of_it() -> None:
    row = ratio_row(Target(name="it"), series(2.0, 4.0, 6.0), series(1.0, 1.0, 1.0), "raw 1 s")
    assert (row.figure, row.least, row.most, row.rounds) == (4.0, 2.0, 6.0, 3)
    assert row.ours == Side(figure=4.0, here=2e-6, server=1e-6)
    assert row.base is not None
    assert row.base.figure == 1.0
    assert row.remarks == "raw 1 s · processor µs an operation: here 2, server 1; base: here 2, server 1"


async def turns(seed: int, rounds: int, folder: Path) -> tuple[list[str], dict[str, Series]]:
    order: list[str] = []
    ground = Ground(folder, cast(Nursery, None), quick=True, seed=seed)

    async def one(name: str) -> Sample:
        order.append(name)
        return Sample(float(len(order)))

    return order, await ground.take_turns(rounds, a=lambda: one("a"), b=lambda: one("b"))


async def test_everybody_has_a_turn_a_round_and_the_first_round_does_not_count(tmp_path: Path) -> None:
    order, found = await turns(7, 20, tmp_path)
    rounds = [order[start : start + 2] for start in range(0, len(order), 2)]
    assert len(rounds) == 21
    assert {tuple(sorted(each)) for each in rounds} == {("a", "b")}
    assert {tuple(each) for each in rounds} == {("a", "b"), ("b", "a")}
    assert [len(each.samples) for each in found.values()] == [20, 20]
    assert min(sample.figure for each in found.values() for sample in each.samples) > 2


async def test_the_same_seed_gives_the_same_order(tmp_path: Path) -> None:
    assert (await turns(7, 20, tmp_path))[0] == (await turns(7, 20, tmp_path))[0]
    assert (await turns(7, 20, tmp_path))[0] != (await turns(8, 20, tmp_path))[0]


def test_processor_time_of_a_process_only_grows() -> None:
    first = processor_seconds(1)
    assert 0 <= first <= processor_seconds(1)
