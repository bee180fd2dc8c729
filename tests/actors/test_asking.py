"""Asking an agent: who is chosen, what comes back, and how every failure arrives as its own type."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.errors import (
    BadPayload,
    BadResult,
    BreakerOpen,
    DeadlineExceeded,
    HandlerFailed,
    NoResponders,
    Overloaded,
    Refused,
    TimedOut,
    Unavailable,
    UnknownAgent,
    UnknownCommand,
)
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Answer(msgspec.Struct):
    text: str


class Worker(Agent):
    """One of everything."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()

    @command(capability="work.echo", effect="pure")
    async def echo(self, text: str) -> Answer:
        return Answer(text)

    @command(timeout=2.0)
    async def sleep(self, seconds: float) -> str:
        self.begun += 1
        await asyncio.sleep(seconds)
        return "slept"

    @command
    async def fail(self, text: str) -> None:
        password = "hunter2"  # noqa: F841
        raise ValueError(text)

    @command
    async def refuse(self) -> None:
        raise Refused("not today", detail={"reason": "mood"})

    @command
    async def lie(self) -> int:
        return "three"  # type: ignore[return-value]

    @command
    def thread(self) -> str:
        return threading.current_thread().name

    @command
    async def spend(self, ctx: Context) -> None:
        ctx.use(tokens_in=10, tokens_out=5, money=0.25)
        ctx.use(tool_calls=1)

    @command
    async def exit(self) -> None:
        raise SystemExit(3)

    @command
    async def give_up(self) -> None:
        raise asyncio.CancelledError


async def test_an_agent_of_six_lines_answers(neighbours: Neighbours) -> None:
    @agent(capability="greet")
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    await neighbours.host(greet)
    client = await neighbours.client()
    assert await client.ask("greet", {"name": "Ada"}) == "Hello, Ada"
    assert await client.ask("greet", "Ada", returns=str) == "Hello, Ada"


async def test_a_target_is_an_agent_an_instance_or_a_capability(neighbours: Neighbours) -> None:
    await neighbours.host(Worker, instance="w1")
    client = await neighbours.client()
    for target in ("worker", "worker.w1", client.directory.instances("worker")[0]):
        assert await client.ask(target, "x", command="echo", returns=Answer) == Answer("x")
    assert await client.ask("work.echo", "x") == {"text": "x"}


async def test_an_unknown_target_says_who_is_there(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    with pytest.raises(UnknownAgent, match="agents: worker"):
        await client.ask("wroker")
    with pytest.raises(UnknownAgent):
        await client.ask("worker.w9", command="echo")
    with pytest.raises(UnknownCommand, match="say which command of worker"):
        await client.ask("worker")
    with pytest.raises(UnknownCommand, match=r"it has: .*echo"):
        await client.ask("worker", command="ehco")


async def test_the_least_loaded_instance_is_asked(neighbours: Neighbours) -> None:
    one = await neighbours.host(Worker, process="one")
    two = await neighbours.host(Worker, process="two")
    client = await neighbours.client()
    asks = [asyncio.ensure_future(client.ask("worker", 1.0, command="sleep")) for _ in range(10)]
    await asyncio.sleep(0.1)
    assert (one.waiting + one.running, two.waiting + two.running) == (5, 5)
    for each in asks:
        each.cancel()


async def test_only_instances_with_the_labels_asked_for_are_asked(neighbours: Neighbours) -> None:
    await neighbours.host(Worker, process="one", labels={"zone": "a"})
    there = await neighbours.host(Worker, process="two", labels={"zone": "b"})
    client = await neighbours.client()
    for _ in range(5):
        await client.ask("work.echo", "x", constraints=Constraints(labels={"zone": "b"}))
    assert there.tally.whole.handled == 5
    with pytest.raises(Refused, match="labels"):
        await client.ask("work.echo", "x", constraints=Constraints(labels={"zone": "c"}))


async def test_a_bad_payload_never_reaches_the_handler(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    client = await neighbours.client()
    with pytest.raises(BadPayload) as caught:
        await client.ask("worker", {"seconds": "long"}, command="sleep")
    assert caught.value.detail["errors"][0]["path"] == "$.seconds"
    assert actor.target.begun == 0
    assert actor.tally.whole.success == 1.0


async def test_a_bad_result_is_its_authors_mistake(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    with pytest.raises(BadResult, match="does not fit int"):
        await (await neighbours.client()).ask("worker", command="lie")
    assert actor.tally.whole.success < 1.0


async def test_an_answer_the_caller_cannot_use_is_a_bad_result(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    with pytest.raises(BadResult, match="what came back"):
        await (await neighbours.client()).ask("work.echo", "x", returns=int)


async def test_an_exception_arrives_typed_with_its_place_and_without_its_locals(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    with pytest.raises(HandlerFailed, match=r"worker\.fail raised ValueError: no") as caught:
        await (await neighbours.client()).ask("worker", "no", command="fail")
    assert caught.value.detail["exception"] == "ValueError"
    assert caught.value.detail["where"].startswith("test_asking.py:")
    assert "hunter2" not in str(caught.value.detail)
    assert caught.value.origin == "worker.host"


async def test_secrets_in_an_exception_stay_in_the_process(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    with pytest.raises(HandlerFailed) as caught:
        await (await neighbours.client()).ask("worker", "sk-abcdefghijklmnopqrstuvwx refused", command="fail")
    assert "abcdefghijk" not in caught.value.message


async def test_a_typed_refusal_arrives_as_it_was_raised(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    with pytest.raises(Refused, match="not today") as caught:
        await (await neighbours.client()).ask("worker", command="refuse")
    assert caught.value.detail["reason"] == "mood"


@pytest.mark.parametrize("how", ["exit", "give_up"])
async def test_a_handler_cannot_take_its_process_along(neighbours: Neighbours, how: str) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    with pytest.raises(HandlerFailed):
        await client.ask("worker", command=how)
    assert await client.ask("work.echo", "still here") == {"text": "still here"}


async def test_a_plain_function_runs_in_a_thread(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    name = await (await neighbours.client()).ask("worker", command="thread")
    assert name != threading.current_thread().name


async def test_every_ask_has_an_end(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    began = neighbours.clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await client.ask("worker", 3600, command="sleep")
    assert neighbours.clock.monotonic() - began == pytest.approx(2.0, abs=0.1)
    with pytest.raises(DeadlineExceeded):
        await client.ask("worker", 3600, command="sleep", timeout=0.5)
    assert neighbours.clock.monotonic() - began == pytest.approx(2.5, abs=0.1)


async def test_work_whose_caller_has_given_up_is_not_begun(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    client = await neighbours.client()
    asks = [client.ask("worker", 1.0, command="sleep", timeout=1.5) for _ in range(5)]
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert sorted(str(type(each).__name__) for each in results) == ["DeadlineExceeded"] * 4 + ["str"]
    await until(lambda: actor.waiting == 0 and actor.running == 0)
    assert actor.target.begun == 2
    assert actor.peer.counts["expired"] == 3


async def test_a_full_mailbox_answers_overloaded_with_a_time_to_come_back(neighbours: Neighbours) -> None:
    class Narrow(Worker):
        mailbox = 1

    actor = await neighbours.host(Narrow)
    client = await neighbours.client()
    held = [asyncio.ensure_future(client.ask("narrow", 1.9, command="sleep")) for _ in range(2)]
    await until(lambda: actor.running + actor.waiting == 2)
    with pytest.raises(Overloaded) as caught:
        await client.ask("narrow", 0, command="sleep", timeout=0.01)
    assert caught.value.retry_after
    assert caught.value.detail["begun"] is False
    for each in held:
        each.cancel()


async def test_an_overloaded_instance_is_passed_over_for_another(neighbours: Neighbours) -> None:
    class Narrow(Worker):
        mailbox = 1

    full = await neighbours.host(Narrow, process="one")
    target = "narrow.one"
    client = await neighbours.client()
    held = [asyncio.ensure_future(client.ask(target, 1.9, command="sleep")) for _ in range(2)]
    await until(lambda: full.running + full.waiting == 2)
    other = await neighbours.host(Narrow, process="two")
    client.routing.outstanding.clear()
    for _ in range(5):
        assert await client.ask("narrow", 0.0, command="sleep") == "slept"
    assert other.tally.whole.handled == 5
    for each in held:
        each.cancel()


async def test_one_message_at_a_time_unless_declared_otherwise(neighbours: Neighbours) -> None:
    one = await neighbours.host(Worker, process="one")
    many = await neighbours.host(Worker, process="many", capacity=3)
    client = await neighbours.client()
    asks = [client.ask(f"worker.{process}", 1.0, command="sleep") for process in ("one", "many") for _ in range(3)]
    waiting = asyncio.gather(*asks, return_exceptions=True)
    await asyncio.sleep(0.5)
    assert (one.running, one.waiting) == (1, 2)
    assert (many.running, many.waiting) == (3, 0)
    await waiting


async def test_nobody_there_is_known_at_once(neighbours: Neighbours) -> None:
    await neighbours.host(Worker, instance="w1")
    client = await neighbours.client()
    listing = client.directory.instances("worker")[0]
    host = await neighbours.peer("host")
    await host.stop()
    began = neighbours.clock.monotonic()
    with pytest.raises(NoResponders):
        await client.ask(listing, "x", command="echo")
    assert neighbours.clock.monotonic() - began < 1.0


async def test_a_dead_instance_is_passed_over_for_a_living_one(neighbours: Neighbours) -> None:
    await neighbours.host(Worker, process="one")
    await neighbours.host(Worker, process="two")
    client = await neighbours.client()
    neighbours.server.cut("one", noticed=False)
    one = await neighbours.peer("one")
    await one.bus.close()
    for _ in range(6):
        assert await client.ask("work.echo", "x") == {"text": "x"}


async def test_a_target_that_keeps_failing_is_called_no_more(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    client = await neighbours.client()
    for _ in range(3):
        with pytest.raises(HandlerFailed):
            await client.ask("worker", "no", command="fail")
    handled = actor.tally.whole.handled
    with pytest.raises(BreakerOpen) as caught:
        await client.ask("worker", "no", command="fail")
    assert actor.tally.whole.handled == handled
    assert caught.value.retry_after
    assert await client.ask("work.echo", "x") == {"text": "x"}
    assert [row.capability for row in client.breakers.rows() if row.state == "open"] == ["fail"]


async def test_usage_travels_with_the_reply_and_stands_in_the_log(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    used: list[Usage] = []
    await (await neighbours.client()).ask("worker", command="spend", on_usage=used.append)
    (usage,) = used
    assert (usage.tokens_in, usage.tokens_out, usage.money, usage.tool_calls) == (10, 5, 0.25, 1)
    assert usage.exit_status == "success"
    (line,) = neighbours.told("agent.call")
    assert (line["tokens_in"], line["tokens_out"], line["exit_status"], line["agent"]) == (10, 5, "success", "worker")


@pytest.mark.parametrize(
    ("command", "payload", "status"),
    [
        ("echo", "x", "success"),
        ("refuse", None, "semantic_failure"),
        ("lie", None, "semantic_failure"),
        ("fail", "x", "exception"),
    ],
)
async def test_every_call_leaves_one_line(neighbours: Neighbours, command: str, payload: Any, status: str) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    await asyncio.gather(client.ask("worker", payload, command=command), return_exceptions=True)
    (line,) = neighbours.told("agent.call")
    assert line["exit_status"] == status
    assert line["command"] == command
    assert line["correlation"] == line["causation"]
    assert line["latency"] >= 0


async def test_telling_does_not_wait(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    client = await neighbours.client()
    began = neighbours.clock.monotonic()
    await client.tell("worker", 1.0, command="sleep")
    assert neighbours.clock.monotonic() == began
    await until(lambda: actor.tally.whole.handled == 1)


async def test_leaving_tells_those_who_wait(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    asked = asyncio.ensure_future(client.ask("worker", 1.0, command="sleep"))
    await asyncio.sleep(0.1)
    await client.stop()
    with pytest.raises(Unavailable, match="leaving"):
        await asked


async def test_silence_ends_earlier_than_the_deadline_if_so_asked(neighbours: Neighbours) -> None:
    @agent(timeout=60)
    async def slow(ctx: Context) -> str:
        for step in range(3):
            await asyncio.sleep(1.0)
            ctx.progress(step)
        await asyncio.sleep(30.0)
        return "done"

    await neighbours.host(slow)
    client = await neighbours.client()
    seen: list[int] = []
    began = neighbours.clock.monotonic()
    with pytest.raises(TimedOut, match="no sign of life"):
        await client.ask("slow", inactivity=2.0, on_progress=seen.append)
    assert seen == [0, 1, 2]
    assert neighbours.clock.monotonic() - began == pytest.approx(5.0, abs=0.1)


async def test_progress_never_moves_the_deadline(neighbours: Neighbours) -> None:
    @agent(timeout=3)
    async def busy(ctx: Context) -> None:
        while True:
            await asyncio.sleep(0.5)
            ctx.progress()

    await neighbours.host(busy)
    client = await neighbours.client()
    began = neighbours.clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await client.ask("busy", inactivity=1.0)
    assert neighbours.clock.monotonic() - began == pytest.approx(3.0, abs=0.1)


async def test_an_ask_that_has_no_time_left_is_not_even_sent(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Worker)
    client = await neighbours.client()
    with pytest.raises(DeadlineExceeded):
        await client.ask("worker", 0.0, command="sleep", timeout=0.0)
    assert actor.target.begun == 0
    assert not (await neighbours.peer("host")).counts, "something came that had to be refused"


async def test_at_most_a_tenth_of_the_asks_is_repeated(neighbours: Neighbours) -> None:
    attempts = 0

    @agent(effect="pure")
    async def busy() -> None:
        nonlocal attempts
        attempts += 1
        raise Overloaded("too much to do", retry_after=0.01)

    await neighbours.host(busy)
    client = await neighbours.client()
    asks = 200
    for _ in range(asks):
        with pytest.raises((Overloaded, BreakerOpen)):
            await client.ask("busy")
    reserve = 3
    assert asks < attempts <= asks * 1.1 + reserve
