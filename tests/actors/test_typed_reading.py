"""An event that one handler hears is read in one pass with its payload; nobody can tell the difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import Handler, on_event
from mesh.actors.events.typed_reading import TypedReading, untyped
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.protocols.envelope import Envelope, decode, encode
from mesh.protocols.errors import BadEnvelope, VersionUnsupported
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours


class Reading(msgspec.Struct):
    number: int
    tags: list[str] = []


@dataclass
class Plain:
    number: int


class Model(pydantic.BaseModel):
    number: int


class Everything(Agent):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @on_event("n")
    async def struct(self, event: Reading) -> None:
        event.tags.append("seen")
        self.heard.append(event)

    @on_event("plain")
    async def plain(self, event: Plain) -> None: ...

    @on_event("dict")
    async def free(self, event: dict[str, int]) -> None: ...

    @on_event("model")
    async def model(self, event: Model) -> None: ...

    @on_event("raw")
    async def raw(self, event: msgspec.Raw) -> None: ...

    @on_event("fields")
    async def fields(self, number: int) -> None: ...

    @on_event("context")
    async def context(self, event: Reading, ctx: Context) -> None: ...

    @on_event("thread")
    def thread(self, event: Reading) -> None: ...


HANDLERS: dict[str, Handler] = {each.mark.event_type: each.handler for each in Everything.definition.reactions}


def _event(payload: bytes, **more: Any) -> bytes:
    whole = {"v": 1, "id": "i", "kind": "event", "name": "n", "correlation": "i", "payload": msgspec.Raw(payload)}
    return msgspec.json.encode({**whole, "sender": {"agent": "a", "instance": "i", "process": "p"}, **more})


def _reading(name: str = "n") -> TypedReading:
    found = TypedReading.of(HANDLERS[name])
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["model", "raw", "fields", "context", "thread"])
def test_handlers_that_need_more_are_read_the_plain_way(name: str) -> None:
    assert TypedReading.of(HANDLERS[name]) is None


@pytest.mark.parametrize(("name", "value"), [("n", Reading(3)), ("plain", Plain(3)), ("dict", {"number": 3})])
def test_the_payload_is_the_handler_s_own_value(name: str, value: Any) -> None:
    data = _event(b'{"number":3}', hops=2, job="j")
    envelope = _reading(name).one(data)
    assert (envelope.payload, envelope.hops, envelope.job, envelope.name) == (value, 2, "j", "n")
    assert isinstance(envelope, Envelope)
    (again,) = _reading(name).many(b"[%b]" % data, pytest.fail)
    assert again.payload == value


@pytest.mark.parametrize("payload", [b'{"number":"x"}', b"null", b"[]", b'{"number":1e400}'])
def test_what_does_not_fit_is_read_the_plain_way(payload: bytes) -> None:
    data = _event(payload)
    assert bytes(_reading().one(data).payload) == bytes(decode(data).payload) == payload
    good = _event(b'{"number":1}')
    both = _reading().many(b"[%b,%b]" % (data, good), pytest.fail)
    assert [bytes(each.payload) for each in both] == [payload, b'{"number":1}']


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"x", BadEnvelope), (b'{"v":1}', BadEnvelope), (_event(b'{"number":1}', v=99), VersionUnsupported)],
)
def test_what_is_no_envelope_is_refused_as_ever(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        _reading().one(data)
    bad: list[Any] = []
    if data != b"x":
        assert _reading().many(b"[%b]" % data, bad.append) == []
        assert isinstance(bad[0], error)


def test_text_that_is_none_gets_no_further() -> None:
    with pytest.raises(BadEnvelope):
        _reading().one(_event(b'{"number":1,"new":"?"}').replace(b"?", b"\xff"))


def test_the_payload_can_be_had_as_it_came() -> None:
    data = _event(b'{"number":3,"tags":[]}', hops=2)
    assert encode(untyped(_reading().one(data))) == encode(decode(data))


@pytest.mark.virtual
async def test_two_who_hear_the_same_event_have_a_value_each(neighbours: Neighbours) -> None:
    one = await neighbours.host(Everything)
    client = await neighbours.client()
    await client.emit("n", Reading(1), stored=False)
    await until(lambda: len(one.target.heard) == 1)
    two = await neighbours.host(Everything, instance="second")
    await client.emit("n", Reading(2), stored=False)
    await until(lambda: len(two.target.heard) == 1)
    await one.peer.unhost(one)
    await client.emit("n", Reading(3))
    await until(lambda: len(two.target.heard) == 2)
    heard = one.target.heard + two.target.heard
    assert heard == [Reading(1, ["seen"]), Reading(2, ["seen"]), Reading(2, ["seen"]), Reading(3, ["seen"])]


@pytest.mark.virtual
async def test_an_interceptor_sees_what_it_always_sees(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Everything)
    seen: list[Any] = []

    def interceptor(actor: Actor, handler: Handler, function: Callable[..., Any]) -> Callable[..., Any]:
        async def instead(event: Reading) -> None:
            seen.append(event)
            await function(event)

        return instead

    actor.peer.interceptor = interceptor
    await (await neighbours.client()).emit("n", Reading(1), stored=False)
    await until(lambda: len(actor.target.heard) == 1)
    assert seen == actor.target.heard == [Reading(1, ["seen"])]


@pytest.mark.virtual
async def test_a_payload_by_reference_is_fetched_first(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Everything)
    await (await neighbours.client()).emit("n", Reading(1, ["x" * 70_000]))
    await until(lambda: len(actor.target.heard) == 1)
    assert actor.target.heard[0].number == 1
