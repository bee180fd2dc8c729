"""The envelope: what is read, what is refused, and what is never lost."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.constraints import Budget, Constraints, Usage
from mesh.protocols.envelope import VERSION, Envelope, Sender, Stamps, decode, encode, encode_msgpack
from mesh.protocols.errors import BadEnvelope, HandlerFailed, MeshError, VersionUnsupported

ME = Sender("greeter", "i1", "p1")


def envelope(**fields: object) -> Envelope:
    whole = {"v": VERSION, "id": "m1", "kind": "command", "name": "greet", "sender": ME, "correlation": "c1", **fields}
    return Envelope(**whole)  # type: ignore[arg-type]


FULL = envelope(
    causation="m0",
    tenant="acme",
    job="j1",
    epoch=3,
    step="review/1",
    attempt=2,
    hops=1,
    chain=("asker",),
    remaining=2.5,
    key="k",
    trace="00-1-1-01",
    constraints=Constraints(budget=Budget(money=1.0), boundary="eu", labels={"gpu": "yes"}),
    usage=Usage(tokens_in=3),
    stamps=Stamps(agent_version="1.2"),
    fault=HandlerFailed("boom").fault(),
    ext={"team": "blue"},
    payload=msgspec.Raw(b'{"name":"Ada","list":[1,2.5,null]}'),
)


@pytest.mark.parametrize("message", [envelope(), FULL], ids=["least", "full"])
def test_what_was_sent_is_what_is_read_in_json_and_in_msgpack(message: Envelope) -> None:
    for data in (encode(message), encode_msgpack(message)):
        read = decode(data)
        assert bytes(read.payload) == bytes(message.payload)
        blank = msgspec.Raw(b"null")
        assert msgspec.structs.replace(read, payload=blank) == msgspec.structs.replace(message, payload=blank)


def test_json_is_readable_with_any_nats_client() -> None:
    assert msgspec.json.decode(encode(envelope()))["sender"] == {"agent": "greeter", "instance": "i1", "process": "p1"}


def test_a_field_of_a_newer_release_does_not_stop_the_reader() -> None:
    data = encode(envelope()).replace(b'"v":1', b'"v":1,"colour":"blue"')
    assert decode(data).name == "greet"


def test_the_previous_major_version_is_read() -> None:
    assert decode(encode(envelope(v=VERSION - 1))).v == VERSION - 1


@pytest.mark.parametrize("data", [b'{"v":9}', b'{"v":2,"anything":[]}', encode(envelope(v=7))])
def test_an_unknown_major_version_says_which_are_read(data: bytes) -> None:
    with pytest.raises(VersionUnsupported) as caught:
        decode(data)
    assert caught.value.detail["supported"] == [VERSION - 1, VERSION]


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"[" * 200_000,
    b'{"v":1,"payload":' + b"[" * 200_000,
    b'{"v":1e999}',
    b'{"v":NaN}',
    b"\x80",
    b"\xff" * 64,
    b"\x91" * 200_000,
    encode(envelope()).replace(b'"command"', b'"order"'),
    encode(envelope()).replace(b'"sender":{', b'"sender":{"agent":5,'),
    encode(FULL).replace(b'"money":1.0', b'"money":-1.0'),
    encode(FULL).replace(b'"eu"', b'"eu","priority":77'),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes_are_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        decode(data)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_raise_anything_but_a_mesh_error(data: bytes) -> None:
    with suppress(MeshError):
        decode(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_envelope_is_read_or_refused_but_never_worse(place: int, byte: int) -> None:
    data = bytearray(encode(FULL))
    data[place % len(data)] = byte
    with suppress(MeshError):
        decode(bytes(data))


def packed(**fields: object) -> bytes:
    """As another client would write it in msgpack, that leaves out what has a default."""
    sender = {"agent": "greeter", "instance": "i1", "process": "p1"}
    whole = {"v": VERSION, "id": "m1", "kind": "command", "name": "greet", "sender": sender, "correlation": "c1"}
    return msgspec.msgpack.encode({**whole, **fields})


def test_an_envelope_in_msgpack_may_leave_its_payload_out_as_one_in_json_may() -> None:
    assert bytes(decode(packed()).payload) == b"null"
    assert bytes(decode(packed(payload={"a": [1]})).payload) == b'{"a":[1]}'


def test_what_json_cannot_say_nobody_says_in_msgpack() -> None:
    assert decode(packed(remaining=float("nan"))).remaining is None, "no deadline was told"
    assert decode(packed(ext={"at": b"raw"})).ext == {"at": "cmF3"}
    for hostile in ({"usage": {"money": float("nan")}}, {"ext": {"a": msgspec.msgpack.Ext(5, b"x")}}):
        with pytest.raises(BadEnvelope):
            decode(packed(**hostile))
