"""Constraints only narrow; usage adds up."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.constraints import Budget, Constraints, Usage

limits = st.none() | st.floats(0, 1e6)
counts = st.none() | st.integers(0, 10**6)
budgets = st.builds(Budget, tokens=counts, money=limits, tool_calls=counts, wall_time=limits)
usages = st.builds(
    Usage,
    tokens_in=st.integers(0, 10**6),
    tokens_out=st.integers(0, 10**6),
    money=st.floats(0, 1e6),
    tool_calls=st.integers(0, 10**6),
    duration=st.floats(0, 1e6),
)


@given(budgets, budgets, usages)
def test_a_childs_budget_allows_nothing_its_parents_would_not(parent: Budget, child: Budget, used: Usage) -> None:
    if parent.narrow(child).allows(used):
        assert parent.allows(used)
        assert child.allows(used)


@given(budgets, usages)
def test_what_is_left_is_never_negative(budget: Budget, used: Usage) -> None:
    left = budget.less(used)
    assert all(value is None or value >= 0 for value in (left.tokens, left.money, left.tool_calls, left.wall_time))


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="money"):
        Budget(money=-1)


def test_a_child_may_add_a_label_but_not_change_one() -> None:
    parent = Constraints(labels={"region": "eu"})
    assert parent.narrow(Constraints(labels={"gpu": "yes"})).labels == {"region": "eu", "gpu": "yes"}
    with pytest.raises(ValueError, match="region"):
        parent.narrow(Constraints(labels={"region": "us"}))


def test_a_data_boundary_once_set_stays() -> None:
    with pytest.raises(ValueError, match="boundary"):
        Constraints(boundary="eu").narrow(Constraints(boundary="us"))
    assert Constraints(boundary="eu").narrow(Constraints()).boundary == "eu"


def test_a_child_cannot_raise_its_own_priority() -> None:
    assert Constraints(priority=2).narrow(Constraints(priority=0)).priority == 2


def test_an_instance_without_the_boundary_label_may_not_see_bounded_data() -> None:
    wanted = Constraints(boundary="eu", labels={"gpu": "yes"})
    assert wanted.admits({"boundary": "eu", "gpu": "yes", "more": "x"})
    assert not wanted.admits({"gpu": "yes"})
    assert not wanted.admits({"boundary": "eu"})


def test_usage_adds_up() -> None:
    both = Usage(tokens_in=1, money=0.5) + Usage(tokens_in=2, tool_calls=1, exit_status="success")
    assert (both.tokens_in, both.money, both.tool_calls, both.exit_status) == (3, 0.5, 1, "success")


@pytest.mark.parametrize("limit", ["money", "wall_time"])
def test_no_number_at_all_is_no_limit_but_a_mistake(limit: str) -> None:
    """On the wire it would be null: no limit."""
    with pytest.raises(ValueError, match=limit):
        Budget(**{limit: float("nan")})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [
        {"money": float("nan")},
        {"money": -0.1},
        {"money": float("inf")},
        {"tokens_in": -1},
        {"tokens_out": float("nan")},
    ],
)
def test_whoever_tells_of_a_use_that_cannot_be_is_told_so(told: dict[str, float]) -> None:
    """On the wire no number is null, and the answer in which it stands could not be read."""
    with pytest.raises(ValueError, match=r"money|tokens"):
        Usage.told(**told)  # type: ignore[arg-type]


def test_what_is_told_of_a_use_is_read_as_that() -> None:
    usage = Usage.told(tokens_in=12.0, money=Decimal("0.25"), tool_calls=True)  # type: ignore[arg-type]
    assert usage == Usage(tokens_in=12, money=0.25, tool_calls=1)
    assert msgspec.json.decode(msgspec.json.encode(usage), type=Usage) == usage
