"""What an agent keeps under keys: typed, versioned, changed by compare-and-set, and there after the restart of everything."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.keeping.state import State
from mesh.actors.keeping.state_declared import durable
from mesh.actors.keeping.state_kind import StateKind
from mesh.actors.keeping.state_shelf import LARGEST, Record
from mesh.actors.running.context import Context
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from mesh.protocols.errors import BadResult, Conflict, InvalidName, Refused, StateMismatch, TimedOut, TooLarge
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Tally(msgspec.Struct):
    count: int = 0


def one_more(tally: Tally) -> Tally:
    return Tally(tally.count + 1)


class Counter(Agent):
    restarts = RestartPolicy(first=0.1)
    tallies = durable(Tally, default=Tally)
    names = durable(str)

    @command
    async def add(self, key: str) -> int:
        return (await self.tallies.update(key, one_more)).count

    @command
    async def rename(self, key: str, name: str) -> str | None:
        before = await self.names.get(key)
        await self.names.put(key, name)
        return before

    @command
    async def poison(self) -> None:
        raise Poisoned


async def test_a_declared_state_survives_the_actor_its_process_and_the_server(neighbours: Neighbours) -> None:
    await neighbours.host(Counter, process="one")
    client = await neighbours.client()
    assert await client.ask("counter", "a", command="add") == 1
    await asyncio.gather(client.ask("counter", command="poison"), return_exceptions=True)
    assert await client.ask("counter", "a", command="add") == 2
    await neighbours.stop("one")
    await neighbours.host(Counter, process="two")
    assert await client.ask("counter", "a", command="add") == 3
    neighbours.server.restart()
    await until(lambda: client.bus.connected)
    assert await client.state("counter", Counter.tallies).get("a") == Tally(3)


async def test_several_states_of_an_agent_are_apart_and_so_are_agents_and_keys(neighbours: Neighbours) -> None:
    await neighbours.host(Counter)
    client = await neighbours.client()
    for key in ("a", "A", "a.b", "*", ">", "", "_", "ä b/c\n", "x" * 1024):
        assert await client.ask("counter", {"key": key}, command="add") == 1
        assert await client.ask("counter", {"key": key, "name": "n"}, command="rename") is None
    assert await client.state("other", Counter.tallies).get("a") == Tally(0)
    keys = await client.state("counter", Counter.tallies).keys()
    assert sorted(keys) == sorted(("a", "A", "a.b", "*", ">", "", "_", "ä b/c\n", "x" * 1024))


async def test_a_function_agent_has_it_through_its_context(neighbours: Neighbours) -> None:
    tallies, names = durable(Tally, default=Tally), durable(str, name="names")

    @agent(name="adder")
    async def add(key: str, ctx: Context) -> int:
        await ctx.state(names).put(key, "name")
        return (await ctx.state(tallies).update(key, one_more)).count

    await neighbours.host(add)
    client = await neighbours.client()
    assert [await client.ask("adder", "a") for _ in range(2)] == [1, 2]
    assert await client.state("adder", Tally).get("a") == Tally(2)
    assert await client.state("adder", Tally).get("b") is None


async def test_instances_change_a_value_at_once_without_losing_anything(neighbours: Neighbours) -> None:
    await neighbours.host(Counter, process="one", capacity=8)
    await neighbours.host(Counter, process="two", capacity=8)
    client = await neighbours.client()
    results = await asyncio.gather(*(client.ask("counter", "a", command="add", timeout=30) for _ in range(16)))
    assert sorted(results) == list(range(1, 17))


async def test_a_version_guards_what_is_put_and_deleted(neighbours: Neighbours) -> None:
    state = (await neighbours.client()).state("a", str)
    first = await state.put("k", "one", version=0)
    assert await state.entry("k") == await state.entry("k")
    assert ((await state.entry("k")).value, (await state.entry("k")).version) == ("one", first)
    with pytest.raises(Conflict) as caught:
        await state.put("k", "two", version=0)
    assert caught.value.detail == {"expected": 0, "found": first}
    second = await state.put("k", "two", version=first)
    with pytest.raises(Conflict):
        await state.delete("k", version=first)
    await state.delete("k", version=second)
    await state.delete("k")
    assert (await state.entry("k")).version == 0
    with pytest.raises(Conflict):
        await state.put("k", "three", version=second)
    assert await state.put("k", "three", version=0) > second


async def test_a_value_of_another_type_is_not_stored_and_a_default_is_never_shared(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    with pytest.raises(BadResult):
        await client.state("a", Tally).put("k", "no")  # type: ignore[arg-type]
    lists = client.state("a", durable(list[str], default=["first"]))
    (await lists.get("k")).append("second")
    assert await lists.get("k") == ["first"]
    await lists.update("k", lambda old: [*old, "second"])
    assert await lists.get("k") == ["first", "second"]


async def test_large_values_go_to_the_object_store_and_too_large_ones_are_refused(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    state = client.state("a", str)
    for size in (64 * 1024 - 3, 64 * 1024, 3_000_000):
        await state.put("k", "x" * size)
        assert await state.get("k") == "x" * size
    (entry,) = await (await client.keeping.states.shelf.bucket()).all()
    record = msgspec.json.decode(entry.value or b"", type=Record)
    assert record.ref is not None
    assert record.ref.size == 3_000_002
    with pytest.raises(TooLarge, match="objects"):
        await state.put("k", "x" * LARGEST)


async def test_a_key_has_an_end(neighbours: Neighbours) -> None:
    state = (await neighbours.client()).state("a", str)
    for key in ("ä" * 513, "\ud800"):
        with pytest.raises(InvalidName):
            await state.get(key)


class Account(msgspec.Struct):
    cents: int


def to_cents(plain: Any, schema: int) -> Any:
    assert schema == 1
    return {"cents": round(plain["euros"] * 100)}


class OldAccount(msgspec.Struct):
    euros: float


async def test_a_value_that_does_not_fit_any_more_says_how_to_migrate_it(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    old, new = durable(OldAccount), durable(Account, schema=2, migrate=to_cents)
    await client.state("bank", old).put("k", OldAccount(1.5))
    with pytest.raises(StateMismatch, match=r"give the changed type schema=2 and a migrate= for schema 1"):
        await client.state("bank", Account).get("k")
    with pytest.raises(StateMismatch, match=r"give it a migrate= for schema 1"):
        await client.state("bank", durable(Account, schema=2)).get("k")
    assert await client.state("bank", new).get("k") == Account(150)
    assert await client.state("bank", old).get("k") == OldAccount(1.5)  # read, and not written back
    await client.state("bank", new).update("k", lambda account: Account((account or Account(0)).cents + 1))
    assert await client.state("bank", new).get("k") == Account(151)
    with pytest.raises(StateMismatch, match="run the newer one") as caught:
        await client.state("bank", old).get("k")
    assert caught.value.detail["stored"] == 2


async def test_a_migration_that_fails_leaves_the_value_and_tells(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    await client.state("bank", str).put("k", "text")
    broken = client.state("bank", durable(Account, schema=2, migrate=to_cents))
    with pytest.raises(StateMismatch, match=r"migrate raised TypeError for a value of schema 1"):
        await broken.update("k", lambda account: account)
    assert await client.state("bank", str).get("k") == "text"


async def test_a_lost_acknowledgement_neither_loses_a_change_nor_makes_it_twice(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    state = client.state("a", durable(Tally, default=Tally))
    bucket = await client.keeping.states.shelf.bucket()
    stored, lost = bucket.put, [0]

    async def put(*args: Any, **options: Any) -> int:
        revision = await stored(*args, **options)
        lost[0] += 1
        if lost[0] % 2:
            raise TimedOut("the acknowledgement was lost")
        return revision

    bucket.put = put  # type: ignore[method-assign]
    for _ in range(5):
        await state.update("k", one_more)
    assert await state.get("k") == Tally(5)
    assert lost[0] >= 5


async def test_a_server_that_is_away_for_a_moment_is_waited_for(neighbours: Neighbours) -> None:
    state = (await neighbours.client()).state("a", durable(Tally, default=Tally))
    await state.update("k", one_more)
    neighbours.server.stop()
    changing = asyncio.ensure_future(state.update("k", one_more))
    await asyncio.sleep(3)
    assert not changing.done()
    neighbours.server.start()
    assert await changing == Tally(2)


def test_what_cannot_be_kept_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="cannot be a contract"):
        durable(asyncio.Lock)
    with pytest.raises(TypeError, match="default= does not fit int"):
        durable(int, default="no")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="say which schema this one is"):
        durable(int, migrate=to_cents)
    with pytest.raises(TypeError, match="whole numbers from 1"):
        StateKind(int, schema=0)


def test_what_is_only_annotated_or_hides_an_option_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(TypeError, match=r"tallies is only annotated: write `tallies = durable\(TheType\)`"):

        class Annotated(Agent):
            tallies: State[Tally]

            @command
            async def do(self) -> None: ...

    with pytest.raises(TypeError, match="'labels' is an option of every agent"):

        class Hidden(Agent):
            labels = durable(Tally)  # type: ignore[assignment]

            @command
            async def do(self) -> None: ...


def test_a_state_is_there_once_the_agent_is_hosted() -> None:
    with pytest.raises(Refused, match=r"Counter\.tallies is there once the agent is hosted"):
        _ = Counter().tallies
