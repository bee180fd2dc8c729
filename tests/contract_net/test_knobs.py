"""What an operator may set about bids, and what is said to who sets nonsense."""

from __future__ import annotations

import pytest

from mesh.contract_net.knobs import EXPLORE, FORGET, forgetting_choice, policy_choice
from mesh.protocols.conduct import Forgetting
from mesh.protocols.selection import SelectionPolicy
from mesh.settings.errors import BadSettings


def test_what_is_not_set_is_as_documented() -> None:
    assert forgetting_choice({}) == Forgetting(calls=30.0, seconds=600.0)
    assert policy_choice({}) == SelectionPolicy(explore=0.1)


def test_half_lives_and_the_share_of_newcomers_are_taken_from_the_environment() -> None:
    assert forgetting_choice({FORGET: "10, 60"}) == Forgetting(calls=10.0, seconds=60.0)
    assert policy_choice({EXPLORE: "0"}).explore == 0.0


@pytest.mark.parametrize("text", ["30", "30,600,1", "0,600", "-1,600", "many,600", "30,inf", "nan,1"])
def test_half_lives_that_are_none_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadSettings, match="such as 30,600"):
        forgetting_choice({FORGET: text})


@pytest.mark.parametrize("text", ["1.5", "-0.1", "some", "nan"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="write a number from 0"):
        policy_choice({EXPLORE: text})
