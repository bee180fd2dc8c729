"""Flags and shares: the most specific one counts, and what was read last goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.policy.flags import place_of
from mesh.protocols.policies import Flag, RateLimit, TenantShare, entry_in
from mesh.testing.virtual_time import until
from tests.policy.policy_operator import Operator

pytestmark = pytest.mark.virtual

NAMES = st.text(min_size=1, max_size=20)


async def test_a_flag_that_nobody_set_is_the_handlers_default(operator: Operator) -> None:
    policy = await operator.watching()
    assert policy.flag("new-prompt", False) is False
    assert policy.flag("model", "small") == "small"


async def test_the_most_specific_flag_counts(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put(Flag(name="model", value="small"))
    await operator.put(Flag(name="model", value="mine", agent="reviewer"))
    await operator.put(Flag(name="model", value="large", tenant="acme"))
    await operator.put(Flag(name="model", value="huge", tenant="acme", agent="reviewer"))
    await until(lambda: policy.flag("model", "", tenant="acme", agent="reviewer") == "huge")
    assert policy.flag("model", "", tenant="acme", agent="writer") == "large"
    assert policy.flag("model", "", tenant="globex", agent="reviewer") == "mine"
    assert policy.flag("model", "", tenant="globex") == "small"


async def test_a_percentage_is_the_same_share_everywhere_and_only_grows(operator: Operator) -> None:
    one, two = await operator.watching("one"), await operator.watching("two")
    chosen: list[set[int]] = []
    for percent in (10.0, 20.0):
        await operator.put(Flag(name="canary", percent=percent))
        await until(lambda percent=percent: all(
            each.flag("canary", False, key=_at(percent - 1)) for each in (one, two)
        ))  # fmt: skip
        picked = {number for number in range(2000) if one.flag("canary", False, key=f"job-{number}")}
        assert picked == {number for number in range(2000) if two.flag("canary", False, key=f"job-{number}")}
        chosen.append(picked)
    assert 140 < len(chosen[0]) < 260
    assert chosen[0] < chosen[1]


def _at(percent: float) -> str:
    """A key that stands just below that percentage, and above the one ten lower."""
    return next(f"k{n}" for n in range(100_000) if percent - 2 < place_of("canary", f"k{n}") < percent)


async def test_a_value_of_another_type_is_told_once_and_the_default_counts(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put(Flag(name="limit", value="many"))
    await until(lambda: policy.flag("limit", "") == "many")
    for _ in range(3):
        assert policy.flag("limit", 10) == 10
    assert len(operator.told("flag.misfit")) == 1


async def test_a_share_is_the_tenants_own_or_that_of_everybody_or_the_standard_one(operator: Operator) -> None:
    policy = await operator.watching()
    assert policy.share("acme") == TenantShare()
    await operator.put(TenantShare(tenant="acme", weight=3, at_once=4, queue=100))
    await operator.put(TenantShare(tenant="*", at_once=1))
    await until(lambda: policy.share("globex").at_once == 1)
    assert (policy.share("acme").weight, policy.share("acme").queue) == (3, 100)


async def test_what_cannot_be_read_leaves_the_last_value_in_force(operator: Operator) -> None:
    policy = await operator.watching()
    await operator.put(TenantShare(tenant="acme", weight=3))
    await until(lambda: policy.share("acme").weight == 3)
    await operator.put_raw("share.acme", b'{"weight": -1}')
    await until(lambda: operator.told("policy.unreadable"))
    assert policy.share("acme").weight == 3


async def test_limits_are_listed_by_what_they_are_for(operator: Operator) -> None:
    policy = await operator.watching()
    limit = RateLimit(tenant="acme", tool="search.web", calls=60)
    await operator.put(limit)
    await until(lambda: policy.limits)
    assert list(policy.limits) == [limit.key] == ["limit.tool.search=2Eweb.tenant.acme"]
    await operator.lift(limit.key)
    await until(lambda: not policy.limits)


@given(name=NAMES, tenant=NAMES, agent=NAMES)
def test_flags_survive_their_keys(name: str, tenant: str, agent: str) -> None:
    flag = Flag(name=name, tenant=tenant, agent=agent)
    assert entry_in(flag.key, b"{}") == flag
