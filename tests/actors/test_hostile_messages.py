"""Bad input: answered with its type where there is an honest way to answer, counted, and never fatal."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.clock import SeededIds
from mesh.protocols.envelope import Envelope, Sender, encode, encode_msgpack
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import VirtualClock, run_virtual, until
from tests.actors.neighbours import Neighbours, Stranger

pytestmark = pytest.mark.virtual


class Echo(Agent):
    def __init__(self) -> None:
        self.handled = 0

    @command
    async def echo(self, text: str) -> str:
        self.handled += 1
        return text


@pytest.fixture
async def actor(neighbours: Neighbours) -> Actor:
    return await neighbours.host(Echo)


@pytest.fixture
async def stranger(neighbours: Neighbours, actor: Actor) -> Stranger:
    stranger = Stranger(neighbours.server.connect("stranger"), actor.peer)
    await stranger.listen()
    return stranger


def a_command(ids: Ids, *, process: str = "stranger", text: Any = "hi", **parts: Any) -> Envelope:
    whole = {
        "v": 1,
        "id": ids.uuid(),
        "kind": "command",
        "name": "echo",
        "sender": Sender("x", "y", process),
        "correlation": "c",
        "payload": msgspec.Raw(msgspec.json.encode(text)),
    }
    return Envelope(**(whole | parts))


async def refused(stranger: Stranger, code: str) -> None:
    """It was answered with that error, and the process goes on."""
    await until(lambda: bool(stranger.heard), timeout=1.0)
    (answer,) = stranger.answers
    assert answer.fault is not None
    assert answer.fault.code == code
    assert stranger.peer.counts[code] == 1
    await still_alive(stranger)


async def still_alive(stranger: Stranger) -> None:
    before = len(stranger.heard)
    stranger.send(encode(a_command(stranger.peer.ids)))
    await until(lambda: len(stranger.heard) > before, timeout=1.0)
    assert stranger.answers[-1].fault is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x00\xff",
        b"{}",
        b"[]",
        b"null",
        b'{"v":1}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"v":1,"id":NaN}',
    ],
)
async def test_what_is_no_envelope(stranger: Stranger, data: bytes) -> None:
    stranger.send(data)
    await refused(stranger, "bad-envelope")


async def test_a_payload_nested_too_deeply(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids, payload=msgspec.Raw(b"[" * 50_000 + b"]" * 50_000))))
    await refused(stranger, "bad-envelope")


async def test_an_unknown_version(stranger: Stranger) -> None:
    stranger.send(b'{"v":99,"something":"else"}')
    await refused(stranger, "version-unsupported")
    assert stranger.answers[0].fault.detail["supported"] == [0, 1]  # type: ignore[union-attr]


async def test_a_sender_that_names_another_process(stranger: Stranger, ids: Ids, actor: Actor) -> None:
    stranger.send(encode(a_command(ids, process="client")))
    await refused(stranger, "bad-envelope")
    assert actor.target.handled == 1


@pytest.mark.parametrize(
    "reply",
    [
        "victim.inbox",
        "mesh.default.rep.victim.host.t1",
        "mesh.default.rep.stranger.other.t1",
        "mesh.default.rpc.victim.echo.e1.host",
        "mesh.other.rep.stranger.host.t1",
        "$JS.API.STREAM.DELETE.mesh_default_EVT",
        "mesh.default.rep.stranger.host.t1.more",
    ],
)
async def test_a_reply_subject_outside_of_the_rules_is_never_answered(
    neighbours: Neighbours, stranger: Stranger, ids: Ids, actor: Actor, reply: str
) -> None:
    published: list[str] = []
    await neighbours.server.connect("ear").bus.subscribe(">", lambda message: published.append(message.subject))
    stranger.send(encode(a_command(ids)), reply=reply)
    stranger.send(b"garbage", reply=reply)
    await until(lambda: actor.peer.counts["bad-reply-subject"] == 2, timeout=1.0)
    assert actor.target.handled == 0
    assert not [subject for subject in published if subject == reply]
    await still_alive(stranger)


async def test_an_agent_that_is_not_here(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids)), agent="nobody")
    await refused(stranger, "unknown-agent")


async def test_a_command_that_is_not_there(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids, name="__init__")))
    await refused(stranger, "unknown-command")


@pytest.mark.parametrize("kind", ["event", "reply", "item", "progress", "act"])
async def test_a_kind_that_is_not_sent_to_instances(stranger: Stranger, ids: Ids, kind: str) -> None:
    stranger.send(encode(a_command(ids, kind=kind)))
    await refused(stranger, "not-understood")


@pytest.mark.parametrize("name", ["", "reboot", "x" * 10_000])
async def test_an_unknown_control_message(stranger: Stranger, ids: Ids, name: str) -> None:
    stranger.send(encode(a_command(ids, kind="control", name=name)))
    await refused(stranger, "not-understood")


async def test_a_malformed_cancel(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids, kind="control", name="cancel", text=7)))
    await refused(stranger, "bad-envelope")


async def test_a_chain_that_comes_back(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids, chain=("a", "echo", "b"))))
    await refused(stranger, "call-cycle")


async def test_a_chain_that_is_too_long(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids, hops=9)))
    await refused(stranger, "too-many-hops")


@pytest.mark.parametrize("remaining", [0.0, -5.0])
async def test_a_deadline_that_has_passed(stranger: Stranger, ids: Ids, remaining: float) -> None:
    stranger.send(encode(a_command(ids, remaining=remaining)))
    await refused(stranger, "deadline-exceeded")


async def test_a_deadline_of_never_is_cut_to_a_day(neighbours: Neighbours, ids: Ids) -> None:
    @agent
    async def left(ctx: Context) -> float:
        return ctx.deadline.remaining()

    actor = await neighbours.host(left)
    stranger = Stranger(neighbours.server.connect("stranger"), actor.peer)
    await stranger.listen()
    stranger.send(encode(a_command(ids, name="left", remaining=1e18, text=None)), agent="left")
    await until(lambda: bool(stranger.heard), timeout=1.0)
    assert msgspec.json.decode(stranger.answers[0].payload) == pytest.approx(24 * 3600)


async def test_msgpack_is_understood(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode_msgpack(a_command(ids)))
    await until(lambda: bool(stranger.heard), timeout=1.0)
    assert msgspec.json.decode(stranger.answers[0].payload) == "hi"


async def test_a_reference_to_nothing(stranger: Stranger, ids: Ids) -> None:
    stranger.send(
        encode(a_command(ids)).replace(b'"payload"', b'"ref":{"digest":"sha256:%s","size":9},"payload"' % (b"0" * 64))
    )
    await refused(stranger, "unavailable")


@pytest.mark.parametrize("reference", [b'{"digest":"../x","size":1}', b'{"digest":"sha256:0","size":-1}', b'"x"'])
async def test_a_reference_that_is_none(stranger: Stranger, ids: Ids, reference: bytes) -> None:
    stranger.send(encode(a_command(ids)).replace(b'"payload"', b'"ref":%s,"payload"' % reference))
    await refused(stranger, "bad-envelope")


async def test_a_flood_does_not_fill_the_log(neighbours: Neighbours, stranger: Stranger) -> None:
    for _ in range(500):
        stranger.send(b"garbage")
    await until(lambda: len(stranger.heard) == 500, timeout=5.0)
    assert len(neighbours.told("message.refused")) == 10
    assert stranger.peer.counts["bad-envelope"] == 500


async def test_unknown_fields_are_no_offence(stranger: Stranger, ids: Ids) -> None:
    stranger.send(encode(a_command(ids)).replace(b'"kind"', b'"from_the_future":{"a":[1]},"kind"'))
    await until(lambda: bool(stranger.heard), timeout=1.0)
    assert stranger.answers[0].fault is None


# -- replies that were not asked for


async def test_a_forged_reply_is_not_heard(neighbours: Neighbours, actor: Actor) -> None:
    client = await neighbours.client()
    mallory = neighbours.server.connect("mallory").bus
    seen: list[str] = []
    await mallory.subscribe(client.subjects.rpc_inbox("host"), lambda message: seen.append(message.reply))
    neighbours.server.faults.drop(client.subjects.reply(client.process, "host", "x")[:-1] + "*", times=1)
    asked = asyncio.ensure_future(client.ask("echo", "true", timeout=1.0))
    await until(lambda: bool(seen), timeout=1.0)
    token = seen[0].rsplit(".", 1)[-1]
    for process, responder in [("mallory", "mallory"), ("host", "mallory"), ("mallory", "host")]:
        forged = a_command(client.ids, kind="reply", process=process, text="false")
        mallory.publish(client.subjects.reply("client", responder, token), encode(forged))
    mallory.publish("mesh.default.rep.client.host", b"x")
    results = await asyncio.gather(asked, return_exceptions=True)
    assert type(results[0]).__name__ == "DeadlineExceeded"
    assert client.exchange.counts["forged"] == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
NAMES = [
    "v",
    "id",
    "kind",
    "name",
    "sender",
    "correlation",
    "payload",
    "chain",
    "remaining",
    "ref",
    "constraints",
    "ext",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=200), st.dictionaries(st.sampled_from(NAMES), json_values)), max_size=10))
def test_nothing_that_arrives_ends_the_dispatch(messages: list[bytes | dict[str, Any]]) -> None:
    async def main() -> None:
        clock: Clock = VirtualClock()
        neighbours = Neighbours(clock, SeededIds(clock, 3))
        actor = await neighbours.host(Echo)
        stranger = Stranger(neighbours.server.connect("stranger"), actor.peer)
        await stranger.listen()
        whole = msgspec.to_builtins(a_command(neighbours.ids).sender)
        for each in messages:
            base = {
                "v": 1,
                "id": "i",
                "kind": "command",
                "name": "echo",
                "sender": whole,
                "correlation": "c",
                "payload": "p",
            }
            stranger.send(each if isinstance(each, bytes) else msgspec.json.encode(base | each))
        await until(lambda: len(stranger.heard) == len(messages), timeout=40.0)
        await still_alive(stranger)
        await neighbours.leave()

    run_virtual(main)
