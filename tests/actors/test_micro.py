"""NATS micro (ADR-32): a stock client discovers every instance, and nobody is made to publish where they should not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.exchanging.micro import semantic_version
from mesh.actors.peer import Identity, Peer
from mesh.clock import SystemClock, SystemIds
from mesh.settings.target import ServerTarget
from mesh.testing.virtual_time import until
from mesh.transport.connection import connect
from tests.actors.neighbours import Neighbours
from tests.servers import RealServer

SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z-.]+)?(\+[0-9A-Za-z-.]+)?\Z")
NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


class Reviewer(Agent):
    """Reviews."""

    version = "2.1"
    labels = {"zone": "a"}

    @command(capability="review.code", effect="pure")
    async def review(self, text: str) -> int:
        if not text:
            raise ValueError("nothing to review")
        return len(text)


@agent
async def greet(name: str) -> str:
    return f"Hello, {name}"


async def answers(client: Any, subject: str, count: int) -> list[dict[str, Any]]:
    """What a stock client collects: it sends one request and listens on its own inbox."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    found = [msgspec.json.decode((await subscription.next_msg(timeout=30)).data) for _ in range(count)]
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.next_msg(timeout=0.05)
    await subscription.unsubscribe()
    return found


@pytest.mark.server
async def test_a_stock_client_lists_every_instance(tmp_path: Path) -> None:
    clock = SystemClock()
    ids = SystemIds(clock)
    async with RealServer(tmp_path) as server:
        connection = await connect(ServerTarget(url=server.url, source="test"), clock=clock, ids=ids)
        peer = Peer(connection, identity=Identity(process="p1", host="here"), clock=clock, ids=ids)
        await peer.start()
        await peer.host(Reviewer)
        await peer.host(greet, instance="one")
        await peer.host(greet, instance="two")
        await peer.ask("review.code", "four", returns=int)
        await asyncio.gather(peer.ask("review.code", ""), return_exceptions=True)
        client = await nats.connect(server.url)

        everyone = await answers(client, "$SRV.PING", 3)
        assert sorted(each["name"] for each in everyone) == ["greet", "greet", "reviewer"]
        assert len({each["id"] for each in everyone}) == 3
        for each in everyone:
            ping = ServicePing.from_dict(each)
            assert each["type"] == "io.nats.micro.v1.ping_response"
            assert SEMVER.match(ping.version)
            assert NAME.match(ping.name)
            assert all(isinstance(value, str) for value in each["metadata"].values())

        (info,) = await answers(client, "$SRV.INFO.reviewer", 1)
        read = ServiceInfo.from_dict(info)
        assert info["type"] == "io.nats.micro.v1.info_response"
        assert (read.description, read.version, read.metadata["zone"]) == ("Reviews.", "2.1.0", "a")
        assert read.endpoints[0].name == "review"
        assert read.endpoints[0].subject == "mesh.default.rpc.p1.reviewer.p1.*"
        assert read.endpoints[0].metadata["capability"] == "review.code"

        (stats,) = await answers(client, f"$SRV.STATS.reviewer.{info['id']}", 1)
        measured = ServiceStats.from_dict(stats)
        assert stats["type"] == "io.nats.micro.v1.stats_response"
        endpoint = measured.endpoints[0]
        assert (endpoint.num_requests, endpoint.num_errors) == (2, 1)
        assert "nothing to review" in (endpoint.last_error or "")
        assert 0 < endpoint.average_processing_time <= endpoint.processing_time

        await answers(client, "$SRV.PING.nobody", 0)
        await answers(client, "$SRV.PING.greet.nobody", 0)
        await client.close()
        await peer.stop()
        await connection.close()


@pytest.mark.virtual
@pytest.mark.parametrize(
    "reply",
    ["mesh.default.rpc.victim.a.b.host", "mesh.other.in.default.job", "$JS.API.STREAM.PURGE.X", "$SRV.PING", ""],
)
async def test_an_answer_never_goes_into_the_mesh_or_to_the_server(neighbours: Neighbours, reply: str) -> None:
    await neighbours.host(greet)
    heard: list[str] = []
    stranger = neighbours.server.connect("stranger").bus
    await stranger.subscribe(">", lambda message: heard.append(message.subject))
    stranger.publish("$SRV.PING", b"", reply=reply)
    stranger.publish("$SRV.PING", b"", reply="_INBOX.mine")
    await until(lambda: "_INBOX.mine" in heard)
    assert heard.count("$SRV.PING") == 2
    assert not reply or reply == "$SRV.PING" or reply not in heard


@pytest.mark.parametrize(
    ("version", "semantic"),
    [("1", "1.0.0"), ("1.2", "1.2.0"), ("1.2.3", "1.2.3"), ("1-rc.1", "1.0.0-rc.1"), ("2.0+build.5", "2.0.0+build.5")],
)
def test_versions_are_given_three_numbers(version: str, semantic: str) -> None:
    assert semantic_version(version) == semantic
    assert SEMVER.match(semantic)
