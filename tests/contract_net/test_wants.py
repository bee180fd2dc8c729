"""A tenant that has its part is declined while another, that was declined, may come back: the rule, and it at work."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract_net.wants import GRACE, MOST, PATIENCE, Wants
from mesh.policy.policy import open_policies
from mesh.protocols.policies import TenantShare
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace


def alike(tenant: str) -> float:
    return 1.0


def test_where_nobody_was_declined_a_tenant_may_have_everything() -> None:
    assert not Wants().contested("a", now=1.0)


def test_what_another_wants_is_kept_as_far_as_its_part_goes() -> None:
    wants = Wants()
    for number in range(5):
        wants.refused("b", f"c{number}", 1.0, 0.5)
    assert wants.contested("a", now=1.0)
    assert not wants.contested("b", now=1.0)
    assert wants.kept("a", {"a": 8}, 8, alike) == 4
    assert wants.kept("a", {"a": 5, "b": 3}, 8, alike) == 1
    assert wants.kept("a", {"a": 6, "b": 0}, 8, lambda tenant: 3.0 if tenant == "a" else 1.0) == 2


def test_no_more_is_kept_than_was_wanted_and_nothing_from_who_has_less_than_its_part() -> None:
    wants = Wants()
    for _ in range(3):
        wants.refused("b", "the same call", 1.0, 0.5)
    assert wants.kept("a", {"a": 8}, 8, alike) == 1
    assert wants.kept("c", {"a": 8}, 8, alike) == 0
    wants.granted("b", "the same call")
    assert not wants.contested("a", now=1.0)


def test_a_want_is_forgotten_well_after_the_time_that_was_told() -> None:
    wants = Wants()
    wants.refused("b", "c", 1.0, 0.5)
    assert wants.contested("a", 1.0 + PATIENCE * 0.5 + GRACE - 0.01)
    assert not wants.contested("a", 1.0 + PATIENCE * 0.5 + GRACE + 0.01)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20)),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, MOST + 5)), max_size=200),
    st.integers(1, 20),
)
def test_somebody_always_may_have_a_free_place(
    held: dict[str, int], refused: list[tuple[str, int]], places: int
) -> None:
    wants = Wants()
    for tenant, number in refused:
        wants.refused(tenant, f"c{number}", 1.0, 0.5)
    kept = {tenant: wants.kept(tenant, held, places, alike) for tenant in "abcd"}
    assert all(0 <= each <= places for each in kept.values())
    if (free := places - sum(held.values())) > 0:
        waiting = {tenant for tenant, _ in refused} or set("abcd")
        assert any(free - kept[tenant] > 0 for tenant in waiting)


@pytest.mark.virtual
async def test_a_flood_of_awards_leaves_the_others_their_part(place: MarketPlace) -> None:
    await place.worker("one", capacity=2)
    caller = await place.caller()
    ended: Counter[str] = Counter()
    done = asyncio.Event()

    async def flood() -> None:
        while not done.is_set():
            await caller.contract(place.call(payload=0.1, timeout=60.0, tenant="noisy", rounds=1000))
            ended["noisy"] += 1

    crowd = [asyncio.ensure_future(flood()) for _ in range(40)]
    await until(lambda: ended["noisy"] > 20)
    began, before = place.clock.monotonic(), ended["noisy"]
    for _ in range(20):
        await caller.contract(place.call(payload=0.1, timeout=60.0, tenant="quiet", rounds=1000))
    seconds, noisy = place.clock.monotonic() - began, ended["noisy"] - before
    assert seconds / 20 < 0.5, "alone it takes 0.1 s; with 40 before it in a line for two places it would take 2 s"
    assert noisy > 0.5 * seconds * 20, "what the quiet one leaves is used"
    done.set()
    await asyncio.gather(*crowd)


@pytest.mark.virtual
async def test_a_tenant_is_awarded_no_more_than_its_share_says(place: MarketPlace) -> None:
    actor = await place.worker("one", capacity=4)
    bucket = await open_policies(actor.peer.store, actor.peer.subjects)
    share = TenantShare(tenant="small", at_once=1)
    await bucket.put(share.key, msgspec.json.encode(share))
    await until(lambda: bool(actor.peer.policy.shares))
    started = [place.start(0.5, tenant="small", timeout=60.0, rounds=1000) for _ in range(5)]
    seen = 0
    while not all(each.done() for each in started):
        seen = max(seen, actor.running)
        assert actor.running + actor.waiting <= 2
        await asyncio.sleep(0.01)
    assert seen == 1
