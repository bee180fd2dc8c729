"""What operators kill is not begun: the job waits, says for whom and why, costs nobody anything, and goes on when it is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.replay.replaying import replay
from mesh.jobs.waiting.inbox import Inbox
from mesh.policy.board import Board, Change
from mesh.protocols.errors import DeadlineExceeded, Killed
from mesh.protocols.policies import Flag, Switch, TenantShare
from mesh.protocols.ports import Clock, Ids, KeyValue
from mesh.protocols.submission import Terms, headers_of

pytestmark = pytest.mark.virtual


class Operators:
    """What every host of a world hears of at once."""

    def __init__(self) -> None:
        self.board = Board()
        self.switches = self.board.switches.all
        self.callbacks: list[Any] = []

    def killed(self, **names: str) -> Switch | None:
        return self.board.switches.find({key.replace("_", "-"): name for key, name in names.items()})  # type: ignore[misc]

    def flag(self, name: str, default: Any, *, tenant: str = "", key: str = "") -> Any:
        found = self.board.flags.find(name, tenant)
        return found.value if found else default

    def share(self, tenant: str) -> TenantShare:
        return self.board.share(tenant)

    def on_change(self, callback: Any) -> Any:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def decide(self, entry: Any) -> None:
        self.board.apply(KeyValue(entry.key, msgspec.json.encode(entry), 1), 0.0)
        self._tell(entry.key)

    def allow(self, key: str) -> None:
        self.board.drop(key)
        self._tell(key)

    def _tell(self, key: str) -> None:
        for each in list(self.callbacks):
            each(Change(key, self.board.entries.get(key)))


PAY = Switch(what="capability", name="pay", by="ada@ops", reason="double charges")


@workflow("shop")
async def shop(job: Job) -> list[str]:
    return [await job.call("pick", returns=str), await job.call("pay", returns=str)]


@pytest.fixture
def operators() -> Operators:
    return Operators()


def shop_world(clock: Clock, ids: Ids, operators: Operators) -> World:
    return World(clock, ids, policy=operators, pick=lambda _: "picked", pay=lambda _: "paid")


async def until(world: World, handle: Any, status: str) -> Any:
    while (state := await handle.state()).status != status:
        assert not state.terminal, state.fault
        await world.clock.sleep(0.5)
    return state


@pytest.mark.parametrize(
    "switch",
    [
        PAY,
        Switch(what="workflow", name="*"),
        Switch(what="tenant", name="default"),
        Switch(what="step-kind", name="call"),
    ],
    ids=lambda each: each.what,
)
async def test_a_job_waits_while_a_step_of_it_is_killed_and_no_process_holds_it(
    switch: Switch, clock: Clock, ids: Ids, operators: Operators
) -> None:
    world = shop_world(clock, ids, operators)
    host = await world.host("p", shop, look_every=1.0)

    handle = await world.submit_job("shop")
    operators.decide(switch)
    state = await until(world, handle, "waiting")
    (wait,) = state.open_waits
    assert (wait.opened.kind, wait.opened.name) == ("killed", switch.key)
    assert not host.running
    await clock.sleep(300)
    assert (await handle.state()).epoch == state.epoch, "nobody took it up meanwhile"
    operators.allow(switch.key)
    assert await handle.result(60) == ["picked", "paid"]
    report = await replay(await world.reader.read("default", handle.id), shop)
    await world.close()
    assert report.ok, report


async def test_who_killed_it_and_why_stands_in_the_wait(clock: Clock, ids: Ids, operators: Operators) -> None:
    operators.decide(PAY)
    world = shop_world(clock, ids, operators)
    await world.host("p", shop)
    state = await until(world, await world.submit_job("shop"), "waiting")
    (wait,) = state.open_waits
    assert wait.opened.about is not None
    assert b"capability pay was killed by ada@ops: double charges" in bytes(wait.opened.about.inline)
    assert state.steps["pick"].state == "succeeded", "what is not killed was done"
    await world.close()


async def test_another_host_goes_on_after_the_one_that_held_it_back_has_died(
    clock: Clock, ids: Ids, operators: Operators
) -> None:
    operators.decide(PAY)
    world = shop_world(clock, ids, operators)
    await world.host("p", shop, look_every=1.0)
    handle = await world.submit_job("shop")
    await until(world, handle, "waiting")
    await world.crash("p")
    operators.allow(PAY.key)
    await world.host("q", shop, look_every=1.0)
    assert await handle.result(60) == ["picked", "paid"]
    await world.close()


async def test_a_job_that_is_held_back_ends_at_its_own_deadline(clock: Clock, ids: Ids, operators: Operators) -> None:
    operators.decide(PAY)
    world = shop_world(clock, ids, operators)
    await world.host("p", shop, look_every=1.0)
    handle = await world.submit_job("shop", deadline=100)
    with pytest.raises(DeadlineExceeded):
        await handle.result(3600)
    assert [call.capability for call in world.contractor.calls] == ["pick"]
    await world.close()


async def test_what_is_under_way_goes_on_and_with_now_it_is_stopped_and_done_again(
    clock: Clock, ids: Ids, operators: Operators
) -> None:
    runs: list[float] = []

    async def work() -> str:
        runs.append(clock.monotonic())
        await clock.sleep(100)
        return "done"

    @workflow("long")
    async def long(job: Job) -> str:
        return await job.step("work", work)

    world = World(clock, ids, policy=operators)
    await world.host("p", long, look_every=1.0)
    first = await world.submit_job("long")
    await clock.sleep(10)
    operators.decide(Switch(what="workflow", name="long"))
    assert await first.result(200) == "done"
    operators.allow("kill.workflow.long")
    second = await world.submit_job("long")
    await clock.sleep(10)
    operators.decide(Switch(what="workflow", name="long", now=True))
    await until(world, second, "waiting")
    await clock.sleep(1000)
    assert len(runs) == 2
    operators.allow("kill.workflow.long")
    assert await second.result(200) == "done"
    assert len(runs) == 3
    await world.close()


async def test_on_a_slow_link_a_stopped_job_that_is_allowed_is_not_let_go_of_before_that_is_journaled(
    clock: Clock, ids: Ids, operators: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is to be waited for: each owner would let go of it sooner than its inbox is read, for good (seed 47631)."""

    @workflow("long")
    async def long(job: Job) -> str:
        return await job.step("work", work)

    async def work() -> str:
        await clock.sleep(10)
        return "done"

    world = World(clock, ids, policy=operators)
    await world.host("p", long, look_every=1.0)
    handle = await world.submit_job("long")
    await clock.sleep(5)
    operators.decide(Switch(what="tenant", name="default", now=True))
    await until(world, handle, "waiting")
    read = Inbox.unread

    async def slowly(*asked: Any) -> Any:
        await clock.sleep(0.5)
        return await read(*asked)

    monkeypatch.setattr(Inbox, "unread", slowly)
    operators.allow("kill.tenant.default")
    assert await handle.result(60) == "done"
    await world.close()


async def test_what_an_agent_refuses_as_killed_is_held_back_too(clock: Clock, ids: Ids, operators: Operators) -> None:
    """The agent may know of it before the owner does, or only the agent is killed."""
    switch = Switch(what="agent", name="payer", reason="it pays twice")

    def pay(_: Any) -> str:
        if switch.key in operators.switches:
            raise switch.error()
        return "paid"

    world = World(clock, ids, policy=operators, pick=lambda _: "picked", pay=pay)
    operators.decide(switch)
    await world.host("p", shop, look_every=1.0)
    handle = await world.submit_job("shop")
    await until(world, handle, "waiting")
    operators.allow(switch.key)
    assert await handle.result(60) == ["picked", "paid"]
    await world.close()


async def test_a_child_of_a_killed_workflow_is_not_begun(clock: Clock, ids: Ids, operators: Operators) -> None:
    @workflow("parent")
    async def parent(job: Job) -> list[str]:
        return await job.child(shop)

    operators.decide(Switch(what="workflow", name="shop"))
    world = shop_world(clock, ids, operators)
    await world.host("p", parent, shop, look_every=1.0)
    handle = await world.submit_job("parent")
    await until(world, handle, "waiting")
    await clock.sleep(60)
    operators.allow("kill.workflow.shop")
    assert await handle.result(60) == ["picked", "paid"]
    await world.close()


async def test_a_submission_of_the_killed_is_refused_and_what_was_published_stays_in_the_stream(
    clock: Clock, ids: Ids, operators: Operators
) -> None:
    world = shop_world(clock, ids, operators)
    await world.host("p", shop, look_every=1.0)
    operators.decide(Switch(what="tenant", name="acme", by="ada"))
    with pytest.raises(Killed, match="tenant acme was killed by ada"):
        await world.submit_job("shop", tenant="acme")
    assert await (await world.submit_job("shop")).result(60) == ["picked", "paid"]
    store = world.connect("publisher").store
    await store.append(world.subjects.ingress("acme", "shop"), b"null", headers=headers_of(Terms(key="k")), timeout=5)
    await clock.sleep(60)
    assert not await world.reader.heads("acme")
    operators.allow("kill.tenant.acme")
    while not (heads := await world.reader.heads("acme")) or heads[0].entry.head.state != "completed":
        await clock.sleep(0.5)
    await world.close()


async def test_a_flag_is_answered_once_for_a_job_and_the_same_in_every_replay(
    clock: Clock, ids: Ids, operators: Operators
) -> None:
    @workflow("flagged")
    async def flagged(job: Job) -> list[Any]:
        before = job.flag("two-reviewers", False)
        await job.wait("go")
        return [before, job.flag("two-reviewers", False), job.flag("rate", 0.5)]

    operators.decide(Flag(name="two-reviewers", value=True))
    world = World(clock, ids, policy=operators)
    await world.host("p", flagged, look_every=1.0)
    handle = await world.submit_job("flagged")
    await until(world, handle, "waiting")
    operators.decide(Flag(name="two-reviewers", value=False))
    await handle.signal("go")
    assert await handle.result(60) == [True, True, 0.5]
    assert (await handle.state()).flags == {"two-reviewers": True, "rate": 0.5}
    report = await replay(await world.reader.read("default", handle.id), flagged)
    await world.close()
    assert report.ok, report
