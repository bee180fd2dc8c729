"""What an actor takes on, in which order, and what those are told whom it does not: tenants, priorities, time, room."""

from __future__ import annotations

import asyncio
from collections import Counter
from statistics import quantiles
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.policy.policy import open_policies
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import DeadlineExceeded, Draining, MeshError, Overloaded
from mesh.protocols.policies import TenantShare
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual

URGENT, SLOW = Constraints(priority=0), Constraints(priority=3)


class Desk(Agent):
    """Takes a tenth of a second for everything, and notes in which order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @command(timeout=60)
    async def do(self, name: str, seconds: float = 0.1) -> str:
        await asyncio.sleep(seconds)
        self.done.append(name)
        return name

    @on_event("n", durable=True)
    async def heard(self, name: str) -> None:
        await asyncio.sleep(0.1)
        self.done.append(name)


async def ask(client: Peer, name: str, tenant: str = "default", seconds: float = 0.1, **options: Any) -> str:
    lineage = msgspec.structs.replace(client.root, tenant=tenant)
    payload = {"name": name, "seconds": seconds}
    options.setdefault("timeout", 50)
    return await client.ask("desk", payload, command="do", returns=str, lineage=lineage, **options)


def asking(client: Peer, *arguments: Any, **options: Any) -> asyncio.Future[str]:
    return asyncio.ensure_future(ask(client, *arguments, **options))


async def decide(peer: Peer, *shares: TenantShare) -> None:
    """What an operator does, in force when this returns."""
    bucket = await open_policies(peer.store, peer.subjects)
    for share in shares:
        await bucket.put(share.key, msgspec.json.encode(share))
    await until(lambda: all(peer.policy.share(share.tenant).weight == share.weight for share in shares))
    await until(lambda: len(peer.policy.shares) >= len(shares))


async def busy(actor: Actor, client: Peer) -> asyncio.Future[str]:
    """It has something in hand for a second."""
    first = asking(client, "first", seconds=1.0)
    await until(lambda: actor.running == 1)
    return first


async def test_an_idle_actor_has_nothing_of_all_this(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    await ask(await neighbours.client(), "a")
    assert actor.flow is None
    assert len(actor.mailbox) == 0


async def test_the_urgent_is_handled_first(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    await busy(actor, client)
    asked = [asking(client, "usual"), asking(client, "slow", constraints=SLOW)]
    await until(lambda: actor.waiting == 2)
    asked.append(asking(client, "urgent", constraints=URGENT))
    await asyncio.gather(*asked)
    assert actor.target.done == ["first", "urgent", "usual", "slow"]


async def test_a_tenant_with_a_hundred_waiting_does_not_keep_back_one_with_one(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    await busy(actor, client)
    flood = [asking(client, "noise", "noisy") for _ in range(100)]
    await until(lambda: actor.waiting == 100)
    await ask(client, "quiet", "quiet")
    assert actor.target.done.index("quiet") <= 2
    await asyncio.gather(*flood)


async def test_in_a_full_mailbox_a_tenant_below_its_share_takes_the_room_of_one_above(neighbours: Neighbours) -> None:
    class Small(Desk, name="desk"):
        mailbox = 10

    actor = await neighbours.host(Small)
    client = await neighbours.client()
    await busy(actor, client)
    flood = [asking(client, "noise", "noisy", timeout=2.0) for _ in range(10)]
    await until(lambda: actor.waiting == 10)
    quiet = [asking(client, "quiet", "quiet") for _ in range(5)]
    await until(lambda: actor.peer.counts["shed"] == 5)
    assert await asyncio.gather(*quiet) == ["quiet"] * 5
    await asyncio.gather(*flood, return_exceptions=True)


async def test_who_is_shed_is_told_that_nothing_was_begun_and_when_to_come_back(neighbours: Neighbours) -> None:
    class Small(Desk, name="desk"):
        mailbox = 2

    actor = await neighbours.host(Small)
    client = await neighbours.client()
    first = await busy(actor, client)
    old, new = (asking(client, name, constraints=SLOW, timeout=1.5) for name in ("old", "new"))
    await until(lambda: actor.waiting == 2)
    urgent = asking(client, "urgent", constraints=URGENT)
    await until(lambda: actor.peer.counts["shed"] == 1)
    assert await asyncio.gather(first, urgent, old) == ["first", "urgent", "old"]
    told = (await asyncio.gather(new, return_exceptions=True))[0]
    assert isinstance(told, Overloaded)
    assert told.detail["begun"] is False
    assert told.retry_after


async def test_work_that_would_come_too_late_is_refused_at_once(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    await asyncio.gather(*(ask(client, f"warm {number}") for number in range(10)))
    crowd = [asking(client, f"n{number}", timeout=1.0) for number in range(40)]
    began = neighbours.clock.monotonic()
    await until(lambda: actor.peer.counts["late"] >= 30)
    assert neighbours.clock.monotonic() - began < 0.1
    ended = await asyncio.gather(*crowd, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, Overloaded)]
    assert all(each.retry_after for each in refused)
    assert len({each.retry_after for each in refused}) > len(refused) / 2, "not all are told the same"
    assert sum(isinstance(each, str) for each in ended) >= 6
    assert sum(isinstance(each, DeadlineExceeded) for each in ended) <= 1, "one of the trickle"


async def test_calls_that_come_all_at_once_are_not_too_late_where_there_is_a_place_for_each(
    neighbours: Neighbours,
) -> None:
    await neighbours.host(Desk, capacity=30)
    client = await neighbours.client()
    for _ in range(3):
        crowd = await asyncio.gather(*(ask(client, "x", seconds=2.0, timeout=3.0) for _ in range(30)))
        assert crowd == ["x"] * 30


@pytest.mark.parametrize("times", [2, 5])
async def test_at_several_times_what_it_can_do_it_does_nearly_all_it_can(neighbours: Neighbours, times: int) -> None:
    actor = await neighbours.host(Desk, capacity=2)
    client = await neighbours.client()
    ended: Counter[str] = Counter()

    async def one(number: int) -> None:
        try:
            await ask(client, f"n{number}", timeout=1.0)
            ended["done"] += 1
        except MeshError as error:
            ended[error.code] += 1

    began, asked = neighbours.clock.monotonic(), list[asyncio.Task[None]]()
    for number in range(300 * times):
        asked.append(asyncio.create_task(one(number)))
        await asyncio.sleep(1 / 20 / times)
    seconds = neighbours.clock.monotonic() - began
    await asyncio.gather(*asked)
    assert ended["done"] >= 0.9 * 20 * seconds
    assert len(actor.target.done) <= 1.02 * ended["done"], "next to nothing is done in vain"


async def test_a_wrong_estimate_does_not_lock_anybody_out(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    await asyncio.gather(*(ask(client, "long", seconds=3.0) for _ in range(10)))
    assert actor.flow is not None
    assert actor.flow.pace > 1
    for _ in range(60):
        await asyncio.gather(
            *(ask(client, "short", seconds=0.01, timeout=2.0) for _ in range(3)), return_exceptions=True
        )
    assert actor.flow.pace < 0.5
    crowd = await asyncio.gather(
        *(ask(client, "x", seconds=0.01, timeout=2.0) for _ in range(10)), return_exceptions=True
    )
    assert crowd == ["x"] * 10


async def test_a_tenant_has_no_more_places_at_once_than_its_share_says(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk, capacity=4)
    client = await neighbours.client()
    await decide(actor.peer, TenantShare(tenant="small", at_once=1, weight=2.0))
    asked = [asking(client, "small", "small", seconds=1.0) for _ in range(3)]
    await until(lambda: actor.running == 1 and actor.waiting == 2)
    await asyncio.sleep(0.5)
    assert actor.running == 1
    assert await asyncio.wait_for(ask(client, "other", "other", seconds=0.1), 0.3) == "other"
    assert await asyncio.gather(*asked) == ["small"] * 3


async def test_a_tenant_has_the_places_that_it_is_given_at_once(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk, capacity=4)
    client = await neighbours.client()
    await decide(actor.peer, TenantShare(tenant="small", at_once=1))
    asked = [asking(client, "small", "small", seconds=30.0, timeout=60.0) for _ in range(3)]
    await until(lambda: actor.running == 1 and actor.waiting == 2)
    await decide(actor.peer, TenantShare(tenant="small", at_once=3))
    await until(lambda: actor.running == 3)
    for each in asked:
        each.cancel()


async def test_a_tenant_that_calls_a_hundred_times_as_often_leaves_the_others_p99_within_twice(
    neighbours: Neighbours,
) -> None:
    await neighbours.host(Desk, capacity=4)
    client, noisy = await neighbours.client(), await neighbours.peer("noisy")
    await until(lambda: bool(noisy.directory.instances("desk")))
    clock = neighbours.clock
    times: dict[bool, list[float]] = {False: [], True: []}

    async def quiet(number: int, flooded: bool) -> None:
        for _ in range(12):
            await asyncio.sleep(0.9 + number / 97)
            began = clock.monotonic()
            await ask(client, "q", f"quiet-{number}", seconds=0.1)
            times[flooded].append(clock.monotonic() - began)

    async def flood() -> None:
        while True:
            crowd.append(asking(noisy, "n", "noisy", seconds=0.1, timeout=1.0))
            await asyncio.sleep(0.01)

    crowd: list[asyncio.Future[str]] = []
    await asyncio.gather(*(quiet(number, False) for number in range(6)))
    flooding = asyncio.ensure_future(flood())
    await until(lambda: len(crowd) > 100)
    await asyncio.gather(*(quiet(number, True) for number in range(6)))
    flooding.cancel()
    ended = await asyncio.gather(*crowd, return_exceptions=True)
    alone, beside = (quantiles(times[flooded], n=100)[-1] for flooded in (False, True))
    assert beside <= 2 * alone
    assert sum(isinstance(each, str) for each in ended) > 50, "what the others leave is used"


async def test_long_calls_of_one_tenant_do_not_end_up_in_every_place(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk, capacity=4)
    client = await neighbours.client()
    long = [asking(client, "long", "long", seconds=2.0) for _ in range(40)]
    await until(lambda: actor.running == 4)
    began = neighbours.clock.monotonic()
    crowd = [asking(client, "short", "short", seconds=0.1) for _ in range(100)]
    await until(lambda: actor.waiting > 100)
    await asyncio.gather(*crowd)
    assert neighbours.clock.monotonic() - began < 2.0 + 100 * 0.1 / 2 + 1.0, "half of the places are theirs"
    for each in long:
        each.cancel()


async def test_what_waits_without_a_place_is_answered_when_the_actor_stops(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk, capacity=4)
    client = await neighbours.client()
    await decide(actor.peer, TenantShare(tenant="small", at_once=1, weight=2.0))
    asked = [asking(client, "small", "small", seconds=40.0) for _ in range(3)]
    await until(lambda: actor.waiting == 2)
    await actor.stop()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in ended] == [Draining] * 3


async def test_a_durable_event_that_has_to_make_room_comes_again(neighbours: Neighbours) -> None:
    class Small(Desk, name="desk"):
        mailbox = 2

    actor = await neighbours.host(Small)
    client = await neighbours.client()
    await busy(actor, client)
    for number in range(2):
        await client.emit("n", f"event {number}")
    await until(lambda: actor.waiting == 2)
    urgent = [asking(client, f"urgent {number}", constraints=URGENT) for number in range(2)]
    await until(lambda: actor.peer.counts["shed"] == 2)
    await until(lambda: {"event 0", "event 1"} <= set(actor.target.done), timeout=60)
    await asyncio.gather(*urgent)
    assert actor.target.done[1:3] == ["urgent 0", "urgent 1"]


# -- the adaptive limit


class Behind:
    """What the agents below need: eight at once at full speed."""

    def __init__(self) -> None:
        self.knee = 8
        self.now = 0

    async def __call__(self) -> None:
        self.now += 1
        try:
            await asyncio.sleep(0.25 * max(1.0, self.now / self.knee))
        finally:
            self.now -= 1


async def test_an_agent_of_large_capacity_finds_out_how_many_it_should_handle_at_once(neighbours: Neighbours) -> None:
    behind = Behind()

    @agent(capacity=64, mailbox=1000)
    async def leaning() -> None:
        await behind()

    actor = await neighbours.host(leaning)
    client = await neighbours.client()

    async def again() -> None:
        while True:
            await client.ask("leaning", timeout=50)

    assert (actor.capacity, actor.ceiling) == (64, 64)
    crowd = [asyncio.ensure_future(again()) for _ in range(100)]
    await asyncio.sleep(80)
    assert actor.capacity < 30
    assert actor.running <= actor.capacity
    figures = actor.figures()
    assert (figures.capacity, figures.ceiling) == (actor.capacity, 64)
    behind.knee = 1000
    await asyncio.sleep(20)
    assert actor.capacity >= 32
    for each in crowd:
        each.cancel()


@pytest.mark.parametrize(("capacity", "adaptive", "adapts"), [
    (1, True, False), (4, None, False), (4, True, True), (31, None, False), (32, None, True), (500, False, False),
])  # fmt: skip
def test_a_large_capacity_adapts_unless_told_otherwise(capacity: int, adaptive: bool | None, adapts: bool) -> None:
    @agent(capacity=capacity, adaptive=adaptive)
    async def something() -> None: ...

    assert something.definition.adapts(capacity) is adapts


# -- the whole process


async def test_a_process_with_too_much_waiting_refuses_the_least_urgent_first(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    actor.peer.pressure.waiting_bounds = (5, 10, 15, 20)
    await busy(actor, client)
    held = [asking(client, "x") for _ in range(6)]
    await until(lambda: actor.waiting == 6)
    await asyncio.sleep(0.2)
    with pytest.raises(Overloaded, match=r"messages wait in this process: nothing of priority 3 is taken on") as caught:
        await ask(client, "slow", constraints=SLOW, timeout=0.15)
    assert caught.value.detail["begun"] is False
    assert caught.value.retry_after
    assert actor.peer.counts["pressed"] >= 1
    assert await ask(client, "usual") == "usual"
    await asyncio.gather(*held)
    await asyncio.sleep(0.2)
    assert await ask(client, "slow", constraints=SLOW) == "slow"


async def test_a_loop_that_is_late_sheds_only_while_something_waits_and_not_for_one_late_beat(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    pressure, late = actor.peer.pressure, [0.0]
    monkeypatch.setattr(pressure, "_lag", lambda: late[0])
    await busy(actor, client)
    held = [asking(client, "x") for _ in range(20)]
    await until(lambda: actor.waiting == 20)
    now = neighbours.clock.monotonic
    for lag, takes in ((1.5, 3), (1.6, 1), (0.0, 3), (0.7, 3), (0.8, 2), (5.0, 2), (4.0, 0)):
        late[0] = lag
        pressure.look(now())
        assert pressure.takes == takes, lag
    await asyncio.gather(*held, return_exceptions=True)
    pressure.look(now())
    assert pressure.takes == 3
