"""What the registry shows of actors: records with schemas, figures that follow the load, and states as they change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.peer import Identity, Peer
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from mesh.contract_net.participant import Participant
from mesh.protocols.errors import HandlerFailed, Refused
from mesh.protocols.ports import Clock
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Reviewer(Agent):
    """Reviews code."""

    version = "3.1.4"
    labels = {"zone": "a", "tier": "gold"}
    capacity = 2
    restarts = RestartPolicy(first=5.0)

    @command(capability="review.code", effect="pure", timeout=20, price=0.5)
    async def review(self, seconds: float) -> str:
        """Look at it."""
        await asyncio.sleep(seconds)
        return "fine"

    @command
    async def poison(self) -> None:
        raise Poisoned

    @on_event("code.pushed")
    async def pushed(self, event: dict[str, str]) -> None: ...


async def test_a_record_says_everything(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, instance="r1", labels={"zone": "b"})
    client = await neighbours.client()
    (listing,) = client.directory.lookup("review.code")
    record = listing.record
    assert (record.agent, record.version, record.instance, record.state) == ("reviewer", "3.1.4", "r1", "ready")
    assert record.labels == {"zone": "b", "tier": "gold"}
    assert record.description == "Reviews code."
    assert record.events == ("code.pushed",)
    assert [each.command for each in record.commands] == ["poison"]
    offered = record.offers("review.code")
    assert offered is not None
    assert (offered.effect, offered.timeout, offered.description) == ("pure", 20, "Look at it.")
    schema = await client.directory.schema(offered.input)
    assert schema is not None
    assert "seconds" in str(schema)


async def test_figures_follow_the_load(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer)
    client = await neighbours.client()
    (listing,) = client.directory.lookup("review.code")
    asks = [asyncio.ensure_future(client.ask("review.code", 4.0)) for _ in range(5)]
    await until(lambda: (listing.figures.running, listing.figures.queue) == (2, 3), timeout=3)
    bid = listing.figures.bids["review.code"]
    assert (bid.capacity, bid.queue, bid.price) == (0, 5, 0.5)
    await asyncio.gather(*asks)
    await until(lambda: listing.figures.handled == 5, timeout=3)
    assert listing.figures.latency == pytest.approx(4.0, abs=0.1)
    assert listing.figures.bids["review.code"].capacity == 2


async def test_an_instance_that_has_been_idle_tells_its_load_while_it_works(
    neighbours: Neighbours, clock: Clock
) -> None:
    await neighbours.host(Reviewer)
    client = await neighbours.client()
    (listing,) = client.directory.lookup("review.code")
    await clock.sleep(5)
    asked = asyncio.ensure_future(client.ask("review.code", 4.0))
    await until(lambda: listing.figures.running == 1, timeout=3)
    assert not asked.done()
    await asked


async def test_a_restarting_instance_is_not_ready(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer)
    client = await neighbours.client()
    (listing,) = client.directory.lookup("review.code")
    with pytest.raises(HandlerFailed):
        await client.ask("reviewer", command="poison")
    await until(lambda: listing.state == "starting", timeout=2)
    assert not client.directory.lookup("review.code")
    await until(lambda: listing.state == "ready", timeout=10)


async def test_an_instance_name_is_taken_once(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, instance="r1")
    with pytest.raises(Refused, match="give it another instance name"):
        await neighbours.host(Reviewer, instance="r1")
    names = [(await neighbours.host(Reviewer)).instance for _ in range(3)]
    assert names == ["host", "host-2", "host-3"]


async def test_one_instance_of_several_can_be_taken_away(neighbours: Neighbours) -> None:
    one = await neighbours.host(Reviewer, instance="r1")
    await neighbours.host(Reviewer, instance="r2")
    client = await neighbours.client()
    await one.peer.unhost(one)
    await until(lambda: [each.record.instance for each in client.directory.lookup("review.code")] == ["r2"], timeout=1)
    assert await client.ask("review.code", 0.0) == "fine"


async def test_an_open_breaker_is_told_to_everyone(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer, process="one")
    two = await neighbours.host(Reviewer, process="two")
    client = await neighbours.client()
    two.peer.breakers.of("one.reviewer.one", "review.code").trip("test", two.peer.clock.monotonic())
    listing = client.directory.listing("two.reviewer.two")
    assert listing is not None
    await until(lambda: listing.figures.breakers == ("one.reviewer.one review.code",), timeout=3)


async def test_a_client_that_hosts_nothing_leaves_no_trace(neighbours: Neighbours) -> None:
    await neighbours.host(Reviewer)
    client = await neighbours.client()
    await asyncio.sleep(5)
    assert [lease.process for lease in client.directory.processes()] == ["host"]


async def test_many_hosted_at_once_share_one_subscription_for_discovery_and_one_for_calls(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await neighbours.peer("crowded")
    Participant(peer).start()
    heard: list[str] = []
    subscribe = peer.bus.subscribe

    async def counted(subject: str, *given: Any, **named: Any) -> Any:
        heard.append(subject)
        return await subscribe(subject, *given, **named)

    monkeypatch.setattr(peer.bus, "subscribe", counted)
    await asyncio.gather(*(peer.host(Reviewer, instance=f"r{number}") for number in range(20)))
    assert len(heard) == len(set(heard))
    assert {"$SRV.>", peer.subjects.cfp_inbox("review.code")} < set(heard)
    assert len(peer.directory.lookup("review.code")) == 20


async def test_who_does_not_watch_hosts_without_waiting_for_an_echo(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    bus = neighbours.server.connect("blind")
    peer = Peer(bus, identity=Identity(process="blind", pid=1), clock=neighbours.clock, ids=neighbours.ids)
    await peer.start(watch=False)
    before = neighbours.clock.monotonic()
    await peer.host(Reviewer, instance="r1")
    assert neighbours.clock.monotonic() - before < 0.5
    assert not peer.directory.instances()
    await until(lambda: bool(client.directory.lookup("review.code")))
    await peer.stop()
    await bus.close()


async def test_whoever_hosts_knows_its_own_at_once(neighbours: Neighbours) -> None:
    peer = await neighbours.peer("host")
    await peer.host(Reviewer, instance="r1")
    assert [each.record.instance for each in peer.directory.lookup("review.code")] == ["r1"]
