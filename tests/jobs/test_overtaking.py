"""The ingress is one line; a tenant's first job does not wait for all that others have published before it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from job_stage import World
from test_kill_switches_of_jobs import Operators

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.intake.tries import Before, Tries
from mesh.jobs.journals.streams import ensure_streams
from mesh.jobs.owning.lanes import MOST_LANES
from mesh.jobs.owning.overtaking import MOST_LOST, WITHIN, Overtaking
from mesh.jobs.owning.seat import Incumbent
from mesh.protocols.errors import BadPayload, Killed, MeshError, Overloaded, Unavailable
from mesh.protocols.policies import Switch, TenantShare
from mesh.protocols.ports import Clock, Ids, Stored
from mesh.testing.virtual_time import until

pytestmark = pytest.mark.virtual


class Line:
    """A workflow of ten seconds, two places, and what was published for it."""

    def __init__(self, clock: Clock, ids: Ids, policy: Any = None) -> None:
        self.clock = clock
        self.world = World(clock, ids, policy=policy)
        self.store = self.world.connect("publisher").store
        self.order: list[str] = []

        @workflow("work")
        async def work(job: Job, number: int) -> None:
            await job.step("work", self.done, f"{job.tenant}{number}")

        self.work = work

    async def done(self, name: str) -> None:
        self.order.append(name)
        await self.clock.sleep(10)

    async def publish(self, tenant: str, count: int) -> None:
        await ensure_streams(self.store, self.world.subjects)
        for number in range(count):
            await self.store.append(self.world.subjects.ingress(tenant, "work"), str(number).encode(), timeout=5)

    async def ended(self, count: int) -> None:
        while len(heads := await self.world.reader.heads()) < count or any(
            each.entry.head.state != "completed" for each in heads
        ):
            await self.clock.sleep(5)
        await self.clock.sleep(60)
        await self.world.close()


async def test_the_next_place_goes_to_who_has_none_however_long_the_line_before_it(clock: Clock, ids: Ids) -> None:
    line = Line(clock, ids)
    await line.world.host("p", line.work, at_once=2)
    await line.publish("flood", 30)
    await clock.sleep(5)
    await line.publish("b", 2)
    await line.publish("c", 1)
    await line.ended(33)
    assert {"b0", "c0"} <= set(line.order[:5]), line.order[:8]
    assert len(line.order) == len(set(line.order)) == 33, "what overtook is done once"


async def test_with_one_tenant_nobody_is_let_past(clock: Clock, ids: Ids) -> None:
    line = Line(clock, ids)
    await line.world.host("p", line.work, at_once=2)
    await line.publish("a", 10)
    await line.ended(10)
    assert sorted(line.order) == [f"a{n}" for n in range(10)]


async def test_several_hosts_that_look_at_once_take_each_job_in_once(clock: Clock, ids: Ids) -> None:
    line = Line(clock, ids)
    for name in "pqr":
        await line.world.host(name, line.work, at_once=2)
    await line.publish("flood", 40)
    await clock.sleep(5)
    await line.publish("b", 5)
    await line.ended(45)
    assert len(line.order) == len(set(line.order)) == 45
    assert "b0" in line.order[:14]


async def test_messages_that_must_stay_in_the_stream_do_not_hold_up_those_behind_them(clock: Clock, ids: Ids) -> None:
    """The server hands out no more than a thousand that nobody has settled: those of a killed tenant, and beyond a queue."""
    operators = Operators()
    operators.decide(Switch(what="tenant", name="killed"))
    operators.decide(TenantShare(tenant="full", at_once=1, queue=1))
    line = Line(clock, ids, operators)
    await line.publish("killed", 1100)
    await line.publish("full", 4)
    await line.world.host("p", line.work, at_once=2)
    await clock.sleep(5)
    await line.publish("b", 1)
    began = clock.monotonic()
    while "b0" not in line.order:
        await clock.sleep(1)
    assert clock.monotonic() - began < 30
    await line.ended(5)
    assert not await line.world.reader.heads("killed")


async def test_one_lane_that_gives_nothing_does_not_end_the_looking(clock: Clock, ids: Ids) -> None:
    """One tenant's message is gone from the stream before it is read, and another's is still on its way then."""
    line, taken = Line(clock, ids), []
    await line.publish("flood", 3)
    await line.publish("b", 1)
    await line.publish("c", 2)
    store = line.store

    class Slow:
        """A store that never gives what is b's, and what is c's one after the other."""

        slow = True

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def follow(self, stream: str, subject: str, *, after: int) -> AsyncIterator[Stored]:
            async for each in store.follow(stream, subject, after=after):
                if self.slow:
                    await clock.sleep(60 if ".b." in subject else 0.75 * WITHIN)
                yield each

    async def take(stored: Stored) -> None:
        taken.append(stored.subject)

    slow = Slow()
    seat = SimpleNamespace(store=slow, subjects=line.world.subjects, clock=clock, process="p", incarnation="1")
    overtaking = Overtaking(
        seat, "work", "none", crowded=lambda: True, wanted=lambda tenants: dict.fromkeys(tenants, 2), take=take
    )  # type: ignore[arg-type]
    overtaking.stir()
    await clock.sleep(5)
    slow.slow = False
    await clock.sleep(30)
    assert not overtaking._task.done()
    await overtaking.close()
    await line.world.close()
    assert sorted({each.split(".")[-2] for each in taken}) == ["b", "c", "flood"], taken


async def test_lanes_are_bounded_however_many_tenants_come_while_it_is_crowded(clock: Clock, ids: Ids) -> None:
    """Each is a consumer at the server; a mesh may be crowded for weeks."""
    line, taken, opened, crowded = Line(clock, ids), [], 0, True
    store = line.store

    class Counting:
        """A store that counts who reads."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def follow(self, stream: str, subject: str, *, after: int) -> AsyncIterator[Stored]:
            nonlocal opened
            opened += 1
            try:
                async for each in store.follow(stream, subject, after=after):
                    yield each
            finally:
                opened -= 1

    async def take(stored: Stored) -> None:
        taken.append(stored.subject)

    await line.publish("flood", 1)
    seat = SimpleNamespace(store=Counting(), subjects=line.world.subjects, clock=clock, process="p", incarnation="1")
    overtaking = Overtaking(
        seat, "work", "none", crowded=lambda: crowded, wanted=lambda tenants: dict.fromkeys(tenants, 1), take=take
    )  # type: ignore[arg-type]
    overtaking.stir()
    most = 0
    for batch in range(4):
        for number in range(MOST_LANES // 2):
            await line.publish(f"t{batch}x{number}", 1)
        await clock.sleep(5)
        most = max(most, opened)
    assert opened
    crowded = False
    await clock.sleep(5)
    assert opened == 0, "and all are closed once nobody has to wait"
    await overtaking.close()
    await line.world.close()
    assert len(taken) == 4 * (MOST_LANES // 2) + 1
    assert most <= MOST_LANES


class Looked:
    """Looks at a line that is handled up to `handled`; `taken` are the sequences that were let past, in that order."""

    def __init__(self, line: Line, *, wanted: int = 2) -> None:
        self.handled_upto = 0
        self.looks = 0
        self.share = wanted
        self.gives: int | None = None
        self.taken: list[int] = []
        self.refuses: MeshError | None = None
        self.dead: set[str] = set()
        self._store, self._world = line.store, line.world
        seat = self.seat("p")
        self.overtaking = Overtaking(
            seat,
            "work",
            "none",
            crowded=lambda: True,
            wanted=lambda tenants: {each: self.share if each == "b" else 0 for each in tenants},
            take=self._take,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def seat(self, process: str) -> Any:
        return SimpleNamespace(
            store=self, subjects=self._world.subjects, clock=self._world.clock, process=process, incarnation="1",
            gone=self._gone,
        )  # fmt: skip

    async def _gone(self, processes: Collection[Incumbent]) -> Collection[Incumbent]:
        return [each for each in processes if each.process in self.dead]

    async def handled(self, stream: str, durable: str) -> int:
        self.looks += 1
        return self.handled_upto

    async def follow(self, stream: str, subject: str, *, after: int) -> AsyncIterator[Stored]:
        """As the store does; but no more than it `gives`, if that is said."""
        async for each in self._store.follow(stream, subject, after=after):
            while self.gives == 0:
                await self.overtaking._seat.clock.sleep(WITHIN)
            if self.gives is not None:
                self.gives -= 1
            yield each

    async def _take(self, stored: Stored) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(stored.sequence)


@contextlib.asynccontextmanager
async def looking(clock: Clock, ids: Ids, *, behind: int) -> AsyncIterator[Looked]:
    """Whoever looks at three messages of a flood, and so many of b behind them."""
    line = Line(clock, ids)
    await line.publish("flood", 3)
    await line.publish("b", behind)
    looked = Looked(line)
    yield looked
    await looked.overtaking.close()
    await line.world.close()


async def test_a_message_that_was_read_is_let_past_even_if_the_next_one_does_not_come(clock: Clock, ids: Ids) -> None:
    async with looking(clock, ids, behind=2) as looked:
        looked.gives = 1
        with pytest.raises(TimeoutError):
            await looked.overtaking.look()
        assert looked.taken == [4]
        looked.gives = None
        await looked.overtaking._lanes.close()
        await looked.overtaking.look()
        assert looked.taken == [4, 5]


async def test_who_was_let_past_is_so_again_at_once_without_another_look(clock: Clock, ids: Ids) -> None:
    line = Line(clock, ids)
    await line.publish("flood", 3)
    await line.publish("b", 1)
    looked = Looked(line)
    looked.overtaking.stir()
    await until(lambda: looked.taken == [4])
    for number in range(5, 9):
        looks = looked.looks
        await line.publish("b", 1)
        await until(lambda: looked.taken[-1] == number, poll=0.001)  # noqa: B023
        assert looked.looks == looks
        await until(lambda: looked.looks > looks)  # noqa: B023
    looked.share = 0
    looks = looked.looks
    await line.publish("b", 1)
    await until(lambda: looked.looks > looks + 2)
    assert looked.taken == [4, 5, 6, 7, 8], "beyond its share nobody is let past"
    looked.share = 2
    await until(lambda: looked.taken == [4, 5, 6, 7, 8, 9])
    await looked.overtaking.close()
    await line.world.close()


async def test_who_has_a_message_in_hand_and_is_lost_does_not_leave_it_to_its_turn(clock: Clock, ids: Ids) -> None:
    """It would be begun behind the whole flood: nothing is wrong with it."""
    async with looking(clock, ids, behind=2) as looked:
        for lost in ("q", "r"):
            await Tries(looked.seat(lost)).begin(4)
            await looked.overtaking.look()
            await looked.overtaking.look()
            assert looked.taken == [5], "somebody else takes it"
            looked.dead.add(lost)
        await looked.overtaking.look()
        assert looked.taken == [5, 4]
        assert await Tries(looked.seat("s")).begin(4) == Before(), "it is accounted for"


async def test_what_several_were_lost_over_keeps_its_turn(clock: Clock, ids: Ids) -> None:
    """It may be what kills them."""
    async with looking(clock, ids, behind=2) as looked:
        for lost in range(MOST_LOST + 1):
            await Tries(looked.seat(f"lost-{lost}")).begin(4)
            looked.dead.add(f"lost-{lost}")
        for _ in range(3):
            await looked.overtaking.look()
        assert looked.taken == [5]
        assert await Tries(looked.seat("q")).begin(4) == Before(lost=MOST_LOST + 1), "and this look was none of them"


async def test_what_the_store_does_not_let_us_take_is_looked_at_again(clock: Clock, ids: Ids) -> None:
    async with looking(clock, ids, behind=4) as looked:
        looked.refuses = Unavailable("the journal has no leader")
        with pytest.raises(Unavailable):
            await looked.overtaking.look()
        looked.refuses = None
        await looked.overtaking._lanes.close()
        await looked.overtaking.look()
        await looked.overtaking.look()
        assert looked.taken == [4, 5, 6, 7]


@pytest.mark.parametrize(
    "refusal", [Overloaded("its queue is full"), Killed("by an operator"), BadPayload("no number")]
)
async def test_what_must_stay_in_the_stream_does_not_hold_up_what_is_behind_it(
    clock: Clock, ids: Ids, refusal: MeshError
) -> None:
    async with looking(clock, ids, behind=3) as looked:
        looked.refuses = refusal
        await looked.overtaking.look()
        looked.refuses = None
        for _ in range(3):
            await looked.overtaking.look()
        assert looked.taken == [6]


async def test_what_was_handled_in_its_turn_is_not_let_past_once_more(clock: Clock, ids: Ids) -> None:
    """The line has caught up with what overtook it, and gone on: whoever looks past it goes on from there."""
    line = Line(clock, ids)
    await line.publish("b", 8)
    await line.publish("flood", 8)
    await line.publish("b", 2)
    looked = Looked(line)
    await looked.overtaking.look()
    assert looked.taken == [1, 2]
    looked.handled_upto = 10
    await looked.overtaking.look()
    assert looked.taken == [1, 2, 17, 18], "those from 3 to 8 were handled in their turn"
    await looked.overtaking.close()
    await line.world.close()


@pytest.mark.parametrize("seed", range(8))
async def test_in_any_order_of_looks_and_troubles_each_waiting_message_is_let_past_once(
    clock: Clock, ids: Ids, seed: int
) -> None:
    line, random = Line(clock, ids), Random(seed)
    await line.publish("flood", 2)
    looked, published = Looked(line, wanted=random.choice((1, 3))), 2
    waiting: set[int] = set()
    for _ in range(12):
        match random.choice(("publish", "publish", "handle", "trouble", "look")):
            case "publish":
                tenant, count = random.choice(("b", "flood")), random.randrange(1, 4)
                await line.publish(tenant, count)
                waiting |= set(range(published + 1, published + count + 1)) if tenant == "b" else set()
                published += count
            case "handle":
                looked.handled_upto = random.randrange(looked.handled_upto, published + 1)
                waiting = {each for each in waiting if each > looked.handled_upto or each in looked.taken}
            case "trouble":
                looked.gives = random.randrange(2)
                with contextlib.suppress(TimeoutError):
                    await looked.overtaking.look()
                looked.gives = None
                await looked.overtaking._lanes.close()
            case "look":
                await looked.overtaking.look()
        assert len(looked.taken) == len(set(looked.taken))
        assert set(looked.taken) <= waiting
    await line.publish("flood", 1)
    for _ in range(2 * published):
        await looked.overtaking.look()
    assert set(looked.taken) == waiting
    assert len(looked.taken) == len(waiting)
    await looked.overtaking.close()
    await line.world.close()
