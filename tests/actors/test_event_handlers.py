"""Events: emitted, heard live, replayed from a time or sequence, and handled at least once where that is declared."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.events.events import Event
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from mesh.protocols.errors import BadPayload, InvalidName, NoResponders, TimedOut
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Pushed(msgspec.Struct):
    commit: str


class Listener(Agent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    @on_event("code.pushed")
    async def pushed(self, event: Pushed, ctx: Context) -> None:
        self.heard.append(event.commit)


class Shared(Agent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    @on_event("code.pushed", shared=True)
    async def pushed(self, event: Pushed) -> None:
        self.heard.append(event.commit)


class Durable(Agent):
    restarts = RestartPolicy(first=0.1)

    def __init__(self) -> None:
        self.heard: list[str] = []

    @on_event("code.*", durable=True)
    async def pushed(self, event: Pushed) -> None:
        if event.commit.startswith("bad"):
            raise ValueError(event.commit)
        self.heard.append(event.commit)


@agent
async def push(commit: str, ctx: Context) -> None:
    await ctx.emit("code.pushed", {"commit": commit})


async def test_an_event_is_heard_by_every_instance(neighbours: Neighbours) -> None:
    one = await neighbours.host(Listener, process="one")
    two = await neighbours.host(Listener, process="two")
    three = await neighbours.host(Listener, process="two", instance="second")
    await (await neighbours.client()).emit("code.pushed", Pushed("abc"))
    await until(lambda: all(each.target.heard == ["abc"] for each in (one, two, three)))


async def test_or_by_one_of_them_if_they_share(neighbours: Neighbours) -> None:
    actors = [
        await neighbours.host(Shared, process="one"),
        await neighbours.host(Shared, process="two"),
        await neighbours.host(Shared, process="two", instance="second"),
    ]
    client = await neighbours.client()
    for number in range(20):
        await client.emit("code.pushed", Pushed(str(number)))
    heard: list[str] = []
    await until(lambda: sum(len(each.target.heard) for each in actors) == 20)
    for each in actors:
        heard += each.target.heard
    assert sorted(heard, key=int) == [str(number) for number in range(20)]


async def test_an_event_that_does_not_fit_never_reaches_the_handler(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Listener)
    client = await neighbours.client()
    await client.emit("code.pushed", {"commit": 3})
    await client.emit("code.pushed", Pushed("fits"))
    await until(lambda: actor.target.heard == ["fits"])


async def test_an_event_carries_the_correlation_of_its_cause(neighbours: Neighbours) -> None:
    await neighbours.host(push)
    client = await neighbours.client()
    events: list[Event] = []
    await client.events.subscribe(events.append, "code.>")
    await client.ask("push", "abc")
    await until(lambda: bool(events))
    (call,) = neighbours.told("agent.call")
    (event,) = events
    assert (event.type, event.agent, event.tenant, event.payload) == (
        "code.pushed",
        "push",
        "default",
        {"commit": "abc"},
    )
    assert event.envelope.correlation == call["correlation"]
    assert event.envelope.causation == call["causation"]


async def test_subscribing_by_agent_type_and_wildcard(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    heard: dict[str, list[str]] = {"all": [], "type": [], "below": [], "agent": [], "other": []}

    def to(name: str) -> Any:
        return lambda event: heard[name].append(event.type)

    await client.events.subscribe(to("all"))
    await client.events.subscribe(to("type"), "a.b")
    await client.events.subscribe(to("below"), "a.*")
    await client.events.subscribe(to("agent"), agent="client")
    await client.events.subscribe(to("other"), agent="somebody-else")
    for event_type in ("a.b", "a.c", "d"):
        await client.emit(event_type)
    await until(lambda: len(heard["all"]) == 3)
    assert heard == {
        "all": ["a.b", "a.c", "d"],
        "type": ["a.b"],
        "below": ["a.b", "a.c"],
        "agent": ["a.b", "a.c", "d"],
        "other": [],
    }


async def test_following_from_a_sequence_or_a_time_misses_nothing(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    first = await client.emit("n", 0)
    await asyncio.sleep(10)
    middle = neighbours.clock.now()
    for number in (1, 2):
        await client.emit("n", number)

    async def some(**where: Any) -> list[int]:
        found: list[int] = []
        async for event in client.events.follow("n", **where):
            found.append(event.payload)
            if event.payload == 3:
                return found
        return found

    followed = [
        asyncio.ensure_future(some(**where)) for where in ({"after": 0}, {"after": first}, {"since": middle}, {})
    ]
    await asyncio.sleep(1)
    await client.emit("n", 3)
    assert await asyncio.gather(*followed) == [[0, 1, 2, 3], [1, 2, 3], [1, 2, 3], [3]]


async def test_what_is_no_event_is_counted(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    heard: list[Event] = []
    await client.events.subscribe(heard.append)
    subject = client.subjects.event("default", "victim", "x")
    client.bus.publish(subject, b"garbage")
    forged = client.root.compose(client.ids, "event", "x")
    client.bus.publish(subject, msgspec.json.encode(forged))
    await until(lambda: client.counts["bad-event"] == 2)
    assert not heard


@pytest.mark.parametrize("event_type", ["", "a b", "a.*", ">", "a..b", "_x"])
async def test_an_event_type_that_cannot_stand_in_a_subject(neighbours: Neighbours, event_type: str) -> None:
    with pytest.raises(InvalidName):
        await (await neighbours.client()).emit(event_type)


async def test_an_event_that_is_not_json(neighbours: Neighbours) -> None:
    with pytest.raises(BadPayload):
        await (await neighbours.client()).emit("x", object())


# -- durable


async def test_a_durable_reaction_hears_what_was_emitted_while_nobody_was_up(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    await client.emit("code.pushed", Pushed("early"))
    actor = await neighbours.host(Durable)
    await until(lambda: actor.target.heard == ["early"])
    await actor.peer.unhost(actor)
    await client.emit("code.pushed", Pushed("between"))
    again = await neighbours.host(Durable, process="other")
    await until(lambda: again.target.heard == ["between"])


async def test_its_instances_share_the_work(neighbours: Neighbours) -> None:
    one = await neighbours.host(Durable, process="one")
    two = await neighbours.host(Durable, process="two")
    client = await neighbours.client()
    for number in range(30):
        await client.emit("code.pushed", Pushed(str(number)))
    await until(lambda: len(one.target.heard) + len(two.target.heard) == 30)
    assert sorted(one.target.heard + two.target.heard, key=int) == [str(number) for number in range(30)]


async def test_a_failing_event_comes_again_and_is_given_up_loudly(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Durable)
    client = await neighbours.client()
    await client.emit("code.pushed", Pushed("bad"))
    await client.emit("code.pushed", Pushed("good"))
    await until(lambda: actor.target.heard == ["good"])
    await until(lambda: bool(neighbours.told("event.given_up")), timeout=120)
    (line,) = neighbours.told("event.given_up")
    assert (line["attempts"], line["error"], line["type"]) == (5, "handler-failed", "code.pushed")
    await asyncio.sleep(300)
    assert len([call for call in neighbours.told("agent.call") if call["exit_status"] == "exception"]) == 5


async def test_an_event_whose_handler_crashed_the_actor_comes_again(neighbours: Neighbours) -> None:
    class Once(Agent):
        seen = 0
        restarts = RestartPolicy(first=0.1)

        @on_event("boom", durable=True)
        async def boom(self, event: dict[str, Any]) -> None:
            type(self).seen += 1
            if self.seen == 1:
                raise Poisoned

    await neighbours.host(Once)
    await (await neighbours.client()).emit("boom", {})
    await until(lambda: Once.seen == 2)


async def test_a_full_mailbox_holds_durable_events_back_and_loses_none(neighbours: Neighbours) -> None:
    class Slow(Agent):
        mailbox = 2

        def __init__(self) -> None:
            self.heard: list[int] = []

        @on_event("n", durable=True)
        async def number(self, value: int) -> None:
            await asyncio.sleep(1.0)
            self.heard.append(value)

    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    for number in range(50):
        await client.emit("n", number)
    await until(lambda: len(actor.target.heard) == 50, timeout=200)
    assert sorted(actor.target.heard) == list(range(50))


async def test_older_events_are_passed_over_if_so_asked(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    await client.emit("n", 1)
    await asyncio.sleep(60)
    since = neighbours.clock.now()
    await client.emit("n", 2)

    class Late(Agent):
        def __init__(self) -> None:
            self.heard: list[int] = []

        @on_event("n", durable=True, since=since)
        async def number(self, value: int) -> None:
            self.heard.append(value)

    actor = await neighbours.host(Late)
    await until(lambda: actor.target.heard == [2])


async def test_an_event_goes_round_a_bounded_number_of_times(neighbours: Neighbours) -> None:
    class Loop(Agent):
        heard = 0

        @on_event("again")
        async def again(self, event: dict[str, Any] | None, ctx: Context) -> None:
            type(self).heard += 1
            await ctx.emit("again")

        @command
        async def nothing(self) -> None: ...

    await neighbours.host(Loop)
    await (await neighbours.client()).emit("again")
    await asyncio.sleep(60)
    assert Loop.heard == 9


async def test_an_instance_hears_though_the_one_that_was_hosted_with_it_could_not_be(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await neighbours.peer("host")
    await peer.registration.begin()
    consumer, away = peer.store.consumer, [True]

    async def once_away(*given: Any, **named: Any) -> Any:
        if away:
            away.pop()
            await asyncio.sleep(0.1)
            raise TimedOut("the store is away")
        return await consumer(*given, **named)

    monkeypatch.setattr(peer.store, "consumer", once_away)
    both = (peer.host(Durable, instance=name) for name in ("a", "b"))
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(first, TimedOut)
    assert isinstance(second, Actor)
    await peer.emit("code.pushed", {"commit": "c1"})
    await until(lambda: second.target.heard == ["c1"])


async def test_a_stream_that_was_lost_is_made_anew_by_whoever_emits_next(neighbours: Neighbours) -> None:
    """As when a server starts on an empty disk: its processes are still there."""
    peer = await neighbours.peer("host")
    assert await peer.emit("code.pushed", {"commit": "c1"}) == 1
    del neighbours.server.storage._logs[peer.events.stream]
    neighbours.server.storage._captured.clear()
    with pytest.raises(NoResponders):
        await peer.emit("code.pushed", {"commit": "c2"})
    assert await peer.emit("code.pushed", {"commit": "c3"}) == 1
