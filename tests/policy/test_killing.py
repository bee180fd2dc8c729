"""What is killed is asked by nobody and taken by nobody; what runs goes on, unless it is to stop now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from mesh.actors.deciding import Deciding
from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.peer import Identity, Peer
from mesh.actors.running.context import Context
from mesh.client.mesh import Mesh
from mesh.policy.policy import open_policies
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import Killed, MeshError
from mesh.protocols.policies import Entry, Flag, Switch
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.deadline import Deadline
from mesh.resilience.retry import repeatable
from mesh.testing.local import local_mesh
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Worker(Agent):
    version = "1.2.0"

    def __init__(self) -> None:
        self.done = 0
        self.heard = 0

    @command(capability="work.do", timeout=3600)
    async def work(self, ctx: Context, seconds: float) -> str:
        await asyncio.sleep(seconds)
        self.done += 1
        return ctx.instance

    @command
    async def prompt(self, ctx: Context) -> str:
        return ctx.flag("prompt", "old")

    @on_event("order.placed", durable="orders")
    async def ordered(self) -> None:
        self.heard += 1


@pytest.fixture
async def neighbours(clock: Clock, ids: Ids) -> AsyncIterator[Neighbours]:
    neighbours = Neighbours(clock, ids)
    yield neighbours
    await neighbours.leave()


async def decide(peer: Peer, entry: Entry, *others: Peer) -> None:
    """Set it, and return when these processes go by it."""
    bucket = await open_policies(peer.store, peer.subjects)
    key = entry.key  # type: ignore[attr-defined]
    revision = await bucket.put(key, msgspec.json.encode(entry))
    await until(lambda: all(each.policy.revision(key) == revision for each in (peer, *others)))


async def lift(peer: Peer, entry: Switch, *others: Peer) -> None:
    await (await open_policies(peer.store, peer.subjects)).delete(entry.key)
    await until(lambda: not any(each.policy.revision(entry.key) for each in (peer, *others)))


def of_tenant(peer: Peer, tenant: str) -> Lineage:
    return msgspec.structs.replace(peer.root, sender=Sender("client", peer.process, peer.process), tenant=tenant)


@pytest.mark.parametrize(
    "switch",
    [
        Switch(what="agent", name="worker"),
        Switch(what="version", name="worker@1.*"),
        Switch(what="instance", name="worker.host"),
        Switch(what="capability", name="work.*"),
    ],
    ids=lambda switch: switch.what,
)
@pytest.mark.parametrize("by", ["agent", "capability", "listing"])
async def test_who_asks_for_what_is_killed_is_told_so_and_nothing_is_sent(
    neighbours: Neighbours, switch: Switch, by: str
) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    assert await client.ask("worker", 0.0, command="work") == "host"
    await decide(client, switch)
    listing = client.directory.listing("host.worker.host")
    assert listing is not None
    target = {"agent": "worker", "capability": "work.do", "listing": listing}[by]
    with pytest.raises(Killed):
        await client.ask(target, 0.0, command="work")
    assert actor.target.done == 1
    await lift(client, switch, actor.peer)
    assert await client.ask("worker", 0.0, command="work") == "host"


async def test_the_instances_that_are_not_killed_get_the_work(neighbours: Neighbours) -> None:
    await neighbours.host(Worker, process="one")
    await neighbours.host(Worker, process="two")
    client = await neighbours.client()
    await decide(client, Switch(what="instance", name="worker.one"))
    assert {await client.ask("work.do", 0.0) for _ in range(20)} == {"two"}


async def test_who_is_asked_refuses_even_if_the_asker_has_not_heard_of_it(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    switch = Switch(what="agent", name="worker", by="ada", reason="it loops")
    await decide(actor.peer, switch)
    await client.policy.stop()
    subject = client.subjects.rpc("host", "worker", "host", "client")
    envelope = client.root.compose(client.ids, "command", "work", msgspec.Raw(b"0.0"), remaining=5.0)
    with pytest.raises(Killed) as raised:
        await client.exchange.ask(subject, envelope, deadline=Deadline.after(client.clock, 5.0))
    assert raised.value.detail["by"] == "ada"


async def test_a_killed_tenant_is_refused_and_the_others_are_served(neighbours: Neighbours) -> None:
    await neighbours.host(Worker)
    client = await neighbours.client()
    await decide(client, Switch(what="tenant", name="acme"))
    with pytest.raises(Killed):
        await client.ask("worker", 0.0, command="work", lineage=of_tenant(client, "acme"))
    with pytest.raises(Killed):
        await client.tell("worker", 0.0, command="work", lineage=of_tenant(client, "acme"))
    assert await client.ask("worker", 0.0, command="work", lineage=of_tenant(client, "globex")) == "host"


async def test_what_runs_goes_on_and_what_waits_is_refused(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    runs = asyncio.ensure_future(client.ask("worker", 10.0, command="work"))
    await until(lambda: actor.running == 1)
    waits = asyncio.ensure_future(client.ask("worker", 0.0, command="work"))
    await until(lambda: actor.waiting == 1)
    await decide(client, Switch(what="agent", name="worker"), actor.peer)
    assert await runs == "host"
    with pytest.raises(Killed):
        await waits
    assert actor.target.done == 1


async def test_with_now_what_runs_is_cancelled_and_its_caller_told_why(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    runs = asyncio.ensure_future(client.ask("worker", 1000.0, command="work"))
    await until(lambda: actor.running == 1)
    began = client.clock.monotonic()
    await decide(client, Switch(what="capability", name="work.do", reason="wrong prices", now=True), actor.peer)
    with pytest.raises(Killed, match="wrong prices"):
        await runs
    assert client.clock.monotonic() - began < 1.0
    assert actor.target.done == 0


async def test_a_kill_is_nobodys_failure_and_not_asked_again_blindly(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    await decide(actor.peer, Switch(what="agent", name="worker"))
    for _ in range(20):
        with pytest.raises(Killed):
            await client.ask("worker", 0.0, command="work")
    assert not client.breakers.troubled
    error = Switch(what="agent", name="worker").error()
    assert not repeatable(error, "pure")


async def test_a_durable_event_waits_for_its_killed_agent(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    switch = Switch(what="agent", name="worker")
    await decide(client, switch, actor.peer)
    await client.emit("order.placed", {})
    await client.clock.sleep(600)
    assert actor.target.heard == 0
    await lift(client, switch, actor.peer)
    await until(lambda: actor.target.heard == 1)


async def test_a_flag_reaches_the_handlers_of_its_tenant(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    await decide(actor.peer, Flag(name="prompt", value="new", tenant="acme"))
    assert await client.ask("worker", command="prompt") == "old"
    assert await client.ask("worker", command="prompt", lineage=of_tenant(client, "acme")) == "new"


async def test_any_process_says_by_which_revision_it_goes(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Worker), await neighbours.client()
    switch = Switch(what="tool", name="search")
    await decide(client, switch, actor.peer)
    payload = msgspec.Raw(msgspec.json.encode({"key": switch.key}))
    question = client.root.compose(client.ids, "control", "policy", payload)
    subject = client.subjects.rpc("host", "peer", "peer", "client")
    reply = await client.exchange.ask(subject, question, deadline=Deadline.after(client.clock, 1.0))
    assert msgspec.json.decode(reply.payload)["revision"] == client.policy.revision(switch.key) > 0


@pytest.fixture
async def market(clock: Clock, ids: Ids) -> AsyncIterator[tuple[Mesh, Mesh, Mesh]]:
    server = MemoryServer(clock, ids, latency=0.001)
    async with (
        local_mesh(server, process="one") as one,
        local_mesh(server, process="two") as two,
        local_mesh(server, process="client") as client,
    ):
        for each in (one, two):
            await each.host(Worker)
        await until(lambda: len(client.directory.lookup("work.do")) == 2)
        yield one, two, client


@pytest.mark.parametrize("mode", ["standing", "directed", "broadcast"])
async def test_an_auction_passes_over_what_is_killed(market: tuple[Mesh, Mesh, Mesh], mode: str) -> None:
    one, two, client = market
    peers = (one.peer, two.peer)
    await decide(client.peer, Switch(what="instance", name="worker.one"), *peers)
    for _ in range(10):
        assert await client.call("work.do", 0.0, mode=mode, timeout=5) == "two"  # type: ignore[arg-type]
    await decide(client.peer, Switch(what="capability", name="work.*"), *peers)
    with pytest.raises(Killed):
        await client.call("work.do", 0.0, mode=mode, timeout=5)  # type: ignore[arg-type]


async def test_a_bidder_refuses_what_is_killed_where_the_initiator_has_not_heard_of_it(
    market: tuple[Mesh, Mesh, Mesh],
) -> None:
    one, two, client = market
    await client.peer.policy.stop()
    await decide(one.peer, Switch(what="instance", name="worker.one"), two.peer)
    for mode in ("standing", "directed", "broadcast"):
        assert await client.call("work.do", 0.0, mode=mode, timeout=5) == "two"


async def test_a_peer_that_cannot_read_what_is_killed_does_not_start(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    late = Peer(
        neighbours.server.connect("late"), identity=Identity(process="late", pid=1), clock=neighbours.clock,
        ids=neighbours.ids,
    )  # fmt: skip
    await decide(client, Switch(what="agent", name="worker"))
    neighbours.server.stop()
    with pytest.raises(MeshError):
        await late.start()
    assert late.policy.killed(agent="anybody") is not None
    neighbours.server.start()
    await late.start()
    assert late.policy.killed(agent="anybody") is None
    assert late.policy.killed(agent="worker") is not None
    await late.stop()


async def test_a_switch_with_an_end_holds_until_then_and_not_only_for_its_whole_seconds(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    switch = Switch(what="agent", name="worker", until=client.clock.now() + 10.4)
    await Deciding(client, "ada@here").decide(switch.key, switch)
    await asyncio.sleep(10.3)
    assert client.policy.killed(agent="worker") is not None
    await asyncio.sleep(0.2)
    assert client.policy.killed(agent="worker") is None
