"""The running quantile: near the true one, and of late rather than of long ago."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.resilience.quantile import Quantile


@given(st.lists(st.floats(1e-4, 100.0), min_size=20, max_size=400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_it_is_never_below_the_true_one_and_at_most_a_tenth_above(values: list[float], share: float) -> None:
    quantile = Quantile(share, memory=10_000)
    for each in values:
        quantile.add(each)
    rank = max(0, -(-len(values) * share // 1) - 1)
    true = sorted(values)[int(rank)]
    estimate = quantile.estimate()
    assert estimate is not None
    assert true * 0.999 <= estimate <= true * 1.101


def test_nothing_measured_is_nothing_known() -> None:
    assert Quantile(0.95).estimate() is None


def test_the_past_fades() -> None:
    quantile, source = Quantile(0.95, memory=200), random.Random(1)
    for _ in range(2000):
        quantile.add(source.uniform(0.9, 1.1))
    for _ in range(1000):
        quantile.add(source.uniform(0.009, 0.011))
    estimate = quantile.estimate()
    assert estimate is not None
    assert estimate < 0.013


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_a_quantile_lies_between_nought_and_one(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Quantile(share)
