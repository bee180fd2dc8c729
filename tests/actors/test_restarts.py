"""Supervision: what crashes an actor, how it comes back, and who notices."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.actors.running.supervision import MEANINGS, TRANSITIONS, Poisoned, RestartPolicy, Supervision
from mesh.protocols.errors import AgentLost, Draining, HandlerFailed
from mesh.protocols.transitions import terminal
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours


class Fragile(Agent):
    """Counts in its state; can be poisoned."""

    restarts = RestartPolicy(first=1.0, limit=3, patience=4)
    made = 0
    stopped = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.count = 0

    async def on_stop(self, ctx: Context) -> None:
        type(self).stopped += 1

    @command
    async def next(self) -> int:
        self.count += 1
        return self.count

    @command
    async def poison(self) -> None:
        raise Poisoned("the cache is inconsistent")

    @command
    async def fail(self) -> None:
        raise ValueError("once more")


class Sturdy(Fragile):
    pass


@pytest.fixture(autouse=True)
def _afresh() -> None:
    for kind in (Fragile, Sturdy):
        kind.made = kind.stopped = 0


@pytest.mark.virtual
async def test_a_poisoned_actor_answers_and_restarts_with_a_fresh_state(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Fragile)
    client = await neighbours.client()
    assert [await client.ask("fragile", command="next") for _ in range(3)] == [1, 2, 3]
    with pytest.raises(HandlerFailed, match="Poisoned: the cache"):
        await client.ask("fragile", command="poison")
    assert actor.state == "starting"
    assert await client.ask("fragile", command="next") == 1
    assert (Fragile.made, Fragile.stopped, actor.supervision.restarts) == (2, 0, 1)


@pytest.mark.virtual
async def test_its_mailbox_survives(neighbours: Neighbours) -> None:
    await neighbours.host(Fragile)
    client = await neighbours.client()
    began = neighbours.clock.monotonic()
    poisoned = client.ask("fragile", command="poison")
    after = [client.ask("fragile", command="next") for _ in range(3)]
    results = await asyncio.gather(poisoned, *after, return_exceptions=True)
    assert isinstance(results[0], HandlerFailed)
    assert results[1:] == [1, 2, 3]
    assert neighbours.clock.monotonic() - began >= 0.5


@pytest.mark.virtual
async def test_siblings_never_notice(neighbours: Neighbours) -> None:
    await neighbours.host(Fragile)
    sibling = await neighbours.host(Sturdy)
    client = await neighbours.client()
    await client.ask("sturdy", command="next")
    for _ in range(2):
        await asyncio.gather(client.ask("fragile", command="poison"), return_exceptions=True)
        await asyncio.sleep(3)
    assert await client.ask("sturdy", command="next") == 2
    assert sibling.supervision.restarts == 0


@pytest.mark.virtual
async def test_an_exception_alone_does_not_restart(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Fragile)
    client = await neighbours.client()
    assert await client.ask("fragile", command="next") == 1
    for _ in range(2):
        with pytest.raises(HandlerFailed):
            await client.ask("fragile", command="fail")
    assert await client.ask("fragile", command="next") == 2
    assert actor.supervision.restarts == 0


@pytest.mark.virtual
async def test_too_many_exceptions_in_a_row_do(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Fragile)
    client = await neighbours.client()
    await asyncio.gather(*(client.ask("fragile", command="fail") for _ in range(4)), return_exceptions=True)
    assert await client.ask("fragile", command="next") == 1
    assert actor.supervision.restarts == 1


@pytest.mark.virtual
async def test_too_many_crashes_give_it_up_and_tell_upwards(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Fragile)
    client = await neighbours.client()
    told: list[str] = []
    actor.peer.on_escalated(lambda lost, error: told.append(f"{lost.key}: {error}"))
    asks = [asyncio.ensure_future(client.ask("fragile", command="poison", timeout=60)) for _ in range(4)]
    late = asyncio.ensure_future(client.ask("fragile", command="next", timeout=60))
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert {type(each) for each in results} == {HandlerFailed}
    assert told == ["fragile.host: the cache is inconsistent"]
    with pytest.raises(AgentLost):
        await late
    await until(lambda: not client.directory.instances("fragile"))
    assert [line["agent"] for line in neighbours.told("agent.failed")] == ["fragile"]


@pytest.mark.virtual
async def test_a_start_that_fails_at_first_is_tried_again(neighbours: Neighbours) -> None:
    class Late(Agent):
        tries = 0

        async def on_start(self, ctx: Context) -> None:
            type(self).tries += 1
            if self.tries < 3:
                raise ConnectionError("the model is not up yet")

        @command
        async def ready(self) -> bool:
            return True

    actor = await neighbours.host(Late)
    assert actor.state == "ready"
    assert Late.tries == 3
    assert len(neighbours.told("agent.restarting")) == 2


@pytest.mark.virtual
async def test_a_start_that_never_succeeds_is_told_to_the_host(neighbours: Neighbours) -> None:
    class Never(Agent):
        async def on_start(self, ctx: Context) -> None:
            raise ConnectionError("no model")

        @command
        async def ready(self) -> bool:
            return True

    with pytest.raises(
        HandlerFailed, match=r"never\.host crashed too often and was given up: ConnectionError: no model"
    ):
        await neighbours.host(Never)
    assert not (await neighbours.peer("host")).actors


@pytest.mark.virtual
@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)])
async def test_a_start_after_a_crash_that_ends_in_no_exception_is_a_crash_too(
    neighbours: Neighbours, error: BaseException
) -> None:
    """What `on_start` waits for was cancelled by somebody else, or a library wants to end the program."""

    class Odd(Agent, restarts=RestartPolicy(first=0.1)):
        starts = 0

        async def on_start(self, ctx: Context) -> None:
            type(self).starts += 1
            if self.starts == 2:
                raise error

        @command
        async def poison(self) -> None:
            raise Poisoned

        @command
        async def ready(self) -> bool:
            return True

    await neighbours.host(Odd)
    client = await neighbours.client()
    await asyncio.gather(client.ask("odd", command="poison"), return_exceptions=True)
    assert await client.ask("odd", command="ready")
    assert Odd.starts == 3


@pytest.mark.virtual
async def test_a_start_that_hangs_is_a_crash(neighbours: Neighbours) -> None:
    class Hanging(Agent):
        tries = 0

        async def on_start(self, ctx: Context) -> None:
            type(self).tries += 1
            if self.tries == 1:
                await asyncio.sleep(3600)

        @command
        async def ready(self) -> bool:
            return True

    assert (await neighbours.host(Hanging)).state == "ready"
    assert neighbours.clock.monotonic() < 60


@pytest.mark.virtual
async def test_draining_finishes_what_is_here_and_takes_no_more(neighbours: Neighbours) -> None:
    class Steady(Agent):
        stopped = 0

        async def on_stop(self) -> None:  # type: ignore[override]
            type(self).stopped += 1

        @command
        async def work(self) -> str:
            await asyncio.sleep(1.0)
            return "done"

    actor = await neighbours.host(Steady)
    client = await neighbours.client()
    listing = client.directory.instances("steady")[0]
    asks = [asyncio.ensure_future(client.ask("steady")) for _ in range(3)]
    await until(lambda: actor.waiting == 2)
    leaving = asyncio.ensure_future(actor.peer.drain())
    await until(lambda: listing.state == "draining")
    with pytest.raises(Draining):
        await client.ask(listing, timeout=0.02)
    assert await asyncio.gather(*asks) == ["done"] * 3
    await leaving
    assert Steady.stopped == 1
    await until(lambda: not client.directory.instances("steady"))


@pytest.mark.virtual
async def test_stopping_at_once_tells_every_caller(neighbours: Neighbours) -> None:
    class Slow(Agent):
        @command
        async def work(self) -> None:
            await asyncio.sleep(4.0)

    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    asks = [asyncio.ensure_future(client.ask("slow")) for _ in range(3)]
    await until(lambda: actor.waiting == 2)
    await actor.peer.stop()
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert {type(each) for each in results} <= {Draining}
    assert neighbours.clock.monotonic() < 2.0


# -- the decisions alone


def test_the_backoff_doubles_up_to_a_bound_with_jitter() -> None:
    supervision = Supervision(RestartPolicy(first=1.0, longest=4.0, limit=10), random.Random(1))
    pauses = []
    for _ in range(5):
        supervision.step("started")
        pauses.append(supervision.crashed(0.0) or 0.0)
        supervision.step("restarted")
    for pause, most in zip(pauses, [1.0, 2.0, 4.0, 4.0, 4.0], strict=True):
        assert most / 2 <= pause <= most


def test_crashes_long_ago_are_forgiven() -> None:
    supervision = Supervision(RestartPolicy(limit=2, window=60), random.Random(1))
    for at in range(0, 1000, 50):
        supervision.step("started")
        assert supervision.crashed(float(at)) is not None
        supervision.step("restarted")


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(0, 5))
def test_no_more_than_the_limit_are_survived_within_the_window(pauses: list[float], limit: int) -> None:
    supervision, now, crashes = Supervision(RestartPolicy(limit=limit, window=50), random.Random(1)), 0.0, []
    for pause in pauses:
        now += pause
        supervision.step("started")
        crashes = [at for at in crashes if at > now - 50] + [now]
        given_up = supervision.crashed(now) is None
        assert given_up == (len(crashes) > limit)
        if given_up:
            assert supervision.state == "failed"
            return
        supervision.step("restarted")


def test_the_table_of_an_actors_life_is_explained() -> None:
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(MEANINGS)
    assert terminal(TRANSITIONS) == {"stopped"}
