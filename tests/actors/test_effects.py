"""Effects that happen once: *begun* is stored before the target is called, the outcome after, and the key goes along."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mesh.actors.running.doing as present
from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.keeping.effects import HORIZON, LEASE, Effects, Silence
from mesh.actors.keeping.effects_record import EffectRecord, what_next
from mesh.actors.keeping.state_shelf import Found
from mesh.actors.running.context import Context
from mesh.protocols.errors import BadResult, HandlerFailed, InDoubt, NoResponders, Refused, TimedOut
from mesh.protocols.ports import Clock
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours
from tests.effect_target import EffectTarget

pytestmark = pytest.mark.virtual


class Bank:
    """A target that counts, and whose calls can be held up or made to fail."""

    def __init__(self, ledger: Path, *, honours_keys: bool = True) -> None:
        self.ledger = EffectTarget(ledger, honours_keys=honours_keys)
        self.open = asyncio.Event()
        self.open.set()
        self.error: BaseException | None = None

    async def pay(self, key: str) -> str:
        await self.open.wait()
        self.ledger.ask(key)
        if self.error is not None:
            raise self.error
        return f"paid {key}"


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path / "ledger")


async def effects_of(neighbours: Neighbours, process: str) -> Effects:
    return (await neighbours.peer(process)).effects("clerk")


async def test_a_key_that_comes_again_gets_the_outcome_and_calls_nobody(neighbours: Neighbours, bank: Bank) -> None:
    one, two = await effects_of(neighbours, "one"), await effects_of(neighbours, "two")
    assert await one.once("order-7", bank.pay) == "paid order-7"
    assert await one.once("order-7", bank.pay) == "paid order-7"
    assert await two.once("order-7", bank.pay, effect="at_most_once") == "paid order-7"
    assert (bank.ledger.asked("order-7"), bank.ledger.count("order-7")) == (1, 1)


async def test_agents_and_tenants_have_keys_of_their_own(neighbours: Neighbours, bank: Bank) -> None:
    peer = await neighbours.peer("one")
    for effects in (peer.effects("clerk"), peer.effects("other"), peer.effects("clerk", tenant="acme")):
        await effects.once("order-7", bank.pay)
    assert bank.ledger.asked("order-7") == 3


async def test_of_two_processes_at_once_one_calls_and_both_have_its_outcome(neighbours: Neighbours, bank: Bank) -> None:
    bank.open.clear()
    effects = [await effects_of(neighbours, process) for process in ("one", "two", "three")]
    asking = [asyncio.ensure_future(each.once("k", bank.pay, effect="at_most_once")) for each in effects]
    await asyncio.sleep(10 * LEASE)  # the one who calls gives signs of life for as long as it takes
    assert not any(each.done() for each in asking)
    bank.open.set()
    assert await asyncio.gather(*asking) == ["paid k"] * 3
    assert bank.ledger.asked("k") == 1


async def test_silence_counts_only_while_one_could_look(clock: Clock) -> None:
    silence, record = Silence(clock), EffectRecord(key="k", effect="idempotent", stage="begun", lease=3.0)
    found = Found(None, 7)
    for pause, over in ((0, False), (0.5, False), (60, False), (0.9, False), (0.9, False), (0.9, False), (0.9, True)):
        await clock.sleep(pause)
        assert silence.over(found, record) is over
    assert not silence.over(Found(None, 8), record)


async def test_one_who_was_so_slow_to_begin_that_others_think_it_dead_does_not_call(neighbours: Neighbours) -> None:
    peer = await neighbours.peer("slow")
    effects, bucket = peer.effects("clerk"), await peer.keeping.effects.shelf.bucket()
    put, begun = bucket.put, list[float]()

    async def frozen_after_the_first_write(*args: Any, **options: Any) -> int:
        begun.append(neighbours.clock.monotonic())
        revision = await put(*args, **options)
        await asyncio.sleep(2 * LEASE if len(begun) == 1 else 0)
        return revision

    async def pay(key: str) -> float:
        return neighbours.clock.monotonic() - begun[-1]

    bucket.put = frozen_after_the_first_write  # type: ignore[method-assign]
    assert await effects.once("k", pay, effect="at_most_once") < LEASE
    assert len(begun) == 3


async def lose_while_calling(neighbours: Neighbours, bank: Bank, effect: Any) -> None:
    """A process begins the effect, has its target called, and is cut off before it can write the outcome."""
    lost = await effects_of(neighbours, "lost")

    async def pay_and_die(key: str) -> str:
        bank.ledger.ask(key)
        await asyncio.Event().wait()
        raise AssertionError

    calling = asyncio.ensure_future(lost.once("k", pay_and_die, effect=effect))
    await until(lambda: bank.ledger.asked("k") == 1)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)


async def test_begun_without_an_outcome_an_idempotent_target_is_called_again_with_the_key(
    neighbours: Neighbours, bank: Bank
) -> None:
    await lose_while_calling(neighbours, bank, "idempotent")
    effects = await effects_of(neighbours, "next")
    assert await effects.once("k", bank.pay) == "paid k"
    assert (bank.ledger.asked("k"), bank.ledger.count("k")) == (2, 1)
    known = await effects.look("k")
    assert known is not None
    assert (known.stage, known.calls, known.by) == ("done", 2, "next")


async def test_begun_without_an_outcome_an_at_most_once_effect_is_in_doubt_until_a_person_has_looked(
    neighbours: Neighbours, bank: Bank
) -> None:
    await lose_while_calling(neighbours, bank, "at_most_once")
    effects = await effects_of(neighbours, "next")
    for effect in ("at_most_once", "idempotent"):  # what it was begun as counts
        with pytest.raises(InDoubt, match=r"resolve\('k', value\).*forget\('k'\)"):
            await effects.once("k", bank.pay, effect=effect)  # type: ignore[arg-type]
    assert bank.ledger.asked("k") == 1
    await effects.resolve("k", "paid by hand")
    assert await effects.once("k", bank.pay, effect="at_most_once") == "paid by hand"
    await effects.forget("k")
    assert await effects.once("k", bank.pay, effect="at_most_once") == "paid k"


async def test_who_is_known_to_be_dead_is_not_waited_for(neighbours: Neighbours, bank: Bank) -> None:
    @agent(name="clerk", timeout=60)
    async def pay(order: str, ctx: Context) -> str:
        return await ctx.effects.once(order, bank.pay, lease=1000)

    bank.open.clear()  # it gives signs of life, by its own lease
    await neighbours.host(pay, process="one")
    client = await neighbours.client()
    asking = asyncio.ensure_future(client.ask("clerk", "k"))
    effects = client.effects("clerk")

    for _ in range(1000):
        if await effects.look("k") is not None:
            break
        await asyncio.sleep(0.01)
    await neighbours.stop("one")
    asking.cancel()
    bank.open.set()
    began = neighbours.clock.monotonic()
    assert await effects.once("k", bank.pay) == "paid k"
    assert neighbours.clock.monotonic() - began < 100


async def test_a_refusal_of_the_target_is_an_outcome_and_comes_again(neighbours: Neighbours, bank: Bank) -> None:
    effects = await effects_of(neighbours, "one")
    bank.error = Refused("the card was declined", detail={"reason": "card"})
    for _ in range(2):
        with pytest.raises(Refused, match="declined") as caught:
            await effects.once("k", bank.pay)
        assert caught.value.detail == {"reason": "card"}
    assert bank.ledger.asked("k") == 1


@pytest.mark.parametrize("error", [TimedOut("no answer"), ValueError("odd"), HandlerFailed("it crashed")])
async def test_after_an_error_that_proves_nothing_the_class_decides(
    neighbours: Neighbours, bank: Bank, error: Exception
) -> None:
    effects = await effects_of(neighbours, "one")
    bank.error = error
    with pytest.raises(type(error)):
        await effects.once("k", bank.pay)
    with pytest.raises(InDoubt, match=f"that ended with {type(error).__name__}"):
        await effects.once("m", bank.pay, effect="at_most_once")
    bank.error = None
    assert await effects.once("k", bank.pay) == "paid k"  # at once: nobody has it in hand
    with pytest.raises(InDoubt):
        await effects.once("m", bank.pay, effect="at_most_once")
    assert bank.ledger.most == 1


async def test_what_certainly_was_not_sent_may_be_tried_again(neighbours: Neighbours, bank: Bank) -> None:
    effects = await effects_of(neighbours, "one")

    async def nobody_there(key: str) -> str:
        raise NoResponders("nobody listens")

    with pytest.raises(NoResponders):
        await effects.once("k", nobody_there, effect="at_most_once")
    assert await effects.look("k") is None
    assert await effects.once("k", bank.pay, effect="at_most_once") == "paid k"


class Receipt(msgspec.Struct):
    number: int
    text: str


async def test_outcomes_have_their_type_and_may_be_large(neighbours: Neighbours) -> None:
    effects = await effects_of(neighbours, "one")
    calls: list[str] = []

    def print_receipt(key: str) -> Receipt:  # a plain function runs in a thread
        calls.append(key)
        return Receipt(len(calls), "x" * 200_000)

    assert [(await effects.once("k", print_receipt)).number for _ in range(2)] == [1, 1]
    assert calls == ["k"]
    with pytest.raises(BadResult):
        await effects.once("bad", lambda key: "text", returns=int)
    with pytest.raises(BadResult):
        await effects.once("bad", lambda key: 1, returns=int)


async def test_an_outcome_is_remembered_for_its_horizon_and_then_the_key_is_a_new_one(
    neighbours: Neighbours, bank: Bank
) -> None:
    effects = await effects_of(neighbours, "one")
    await effects.once("k", bank.pay)
    await asyncio.sleep(HORIZON - 60)
    await effects.once("k", bank.pay)
    assert bank.ledger.asked("k") == 1
    await asyncio.sleep(120)
    assert await effects.look("k") is None


async def test_one_who_was_frozen_finds_the_outcome_of_whoever_went_on(neighbours: Neighbours, bank: Bank) -> None:
    slow, effects = await effects_of(neighbours, "slow"), await effects_of(neighbours, "next")

    async def freeze(key: str) -> str:
        (await neighbours.peer("slow")).bus.connected  # noqa: B018
        neighbours.server.cut("slow")
        assert await effects.once(key, bank.pay) == "paid k"
        neighbours.server.restore("slow")
        return "too late"

    assert await slow.once("k", freeze) == "paid k"
    assert bank.ledger.count("k") == 1


@pytest.mark.parametrize("owner", ["begun", "open", "done"])
def test_what_is_next_follows_from_stage_class_and_silence(owner: Any) -> None:
    def record(effect: Any) -> EffectRecord:
        return EffectRecord(key="k", effect=effect, stage=owner)

    expected = {
        "begun": {"idempotent": ("wait", "call"), "at_most_once": ("wait", "doubt")},
        "open": {"idempotent": ("call", "call"), "at_most_once": ("doubt", "doubt")},
        "done": {"idempotent": ("recall", "recall"), "at_most_once": ("recall", "recall")},
    }[owner]
    for effect, (alive, silent) in expected.items():
        assert what_next(record(effect), "idempotent", over=False) == alive
        assert what_next(record(effect), "idempotent", over=True) == silent
    assert what_next(None, "at_most_once", over=False) == "call"


class Clerk(Agent, capacity=4):
    @command
    async def pay(self, order: str) -> str:
        await asyncio.sleep(1)
        return present.effect_key("charge")

    @command
    def print(self, order: str) -> str:
        return present.effect_key()

    @command
    async def pay_once(self, order: str) -> str:
        return await present.effects().once(present.effect_key(), lambda key: f"{order} {key}")

    @on_event("paid")
    async def paid(self, order: str) -> None:
        heard.append(_key_or_why())

    @on_event("printed")
    async def printed(self, order: str, ctx: Context) -> None:
        heard.append(_key_or_why() == ctx.key)


heard: list[Any] = []


def _key_or_why() -> str:
    try:
        return present.effect_key()
    except Refused as error:
        return error.message


async def test_the_key_of_the_present_work_is_within_reach_of_code_that_is_handed_nothing(
    neighbours: Neighbours,
) -> None:
    await neighbours.host(Clerk)
    client = await neighbours.client()

    def ask(command: str, key: str) -> Any:
        return client.ask("clerk", "order", command=command, key=key)

    asked = [ask("pay", "k1"), ask("print", "k2"), ask("pay", "k3"), ask("pay_once", "k4")]
    assert await asyncio.gather(*asked) == ["k1/charge", "k2", "k3/charge", "order k4"]
    with pytest.raises(Refused, match="neither"):
        present.effect_key()


async def test_a_handler_of_live_events_sees_its_own_key_or_none_never_that_of_the_work_before(
    neighbours: Neighbours,
) -> None:
    heard.clear()
    await neighbours.host(Clerk)
    client = await neighbours.client()
    await client.ask("clerk", "order", command="pay", key="k1")
    await client.emit("paid", "order")
    await client.emit("printed", "order")
    await until(lambda: len(heard) == 2)
    assert "takes `ctx: Context`" in str(next(each for each in heard if isinstance(each, str)))
    assert True in heard
