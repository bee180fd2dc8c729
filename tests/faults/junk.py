"""What no honest peer sends: bytes, envelopes and payloads, each by what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

NEST = 50_000
ALMOST_A_MEGABYTE = 1_000_000

BYTES: dict[str, bytes] = {
    "nothing": b"",
    "words": b"hello",
    "a zero": b"\x00",
    "no utf-8": b"\xff\xfe\xfd",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "half an object": b'{"v":1,"id":"',
    "brackets without end": b"[" * NEST,
    "objects without end": b'{"a":' * NEST,
    "a long string": b'"' + b"x" * ALMOST_A_MEGABYTE + b'"',
    "a long number": b"9" * 100_000,
    "msgpack of a type nobody has": b"\xc7\x01\x05x",
    "msgpack nested without end": b"\x91" * NEST,
    "msgpack that promises four gigabytes": b"\xdd\xff\xff\xff\xff",
    "msgpack keys that are lists": b"\x81\x91\x01\x02",
}

_PAYLOADS: dict[str, bytes] = {
    "not utf-8": b'"\xff\xfe"',
    "a number beyond all floats": b"1e400",
    "a list of such": b'{"text":[1e999]}',
    "half a surrogate": b'"\\ud800"',
    "nested without end": b"[" * NEST + b"]" * NEST,
    "another type": b'{"no":"text"}',
    "nearly a megabyte": b'{"x":"' + b"x" * ALMOST_A_MEGABYTE + b'"}',
}

_FIELDS: dict[str, Any] = {
    "version of the future": {"v": 99},
    "version below zero": {"v": -1},
    "version that is text": {"v": "1"},
    "no version": {"v": None},
    "kind that is none": {"kind": "decree"},
    "kind event": {"kind": "event"},
    "kind reply": {"kind": "reply"},
    "kind act": {"kind": "act", "name": "accept-proposal"},
    "act that is none": {"kind": "act", "name": "bribe"},
    "control that is none": {"kind": "control", "name": "shutdown"},
    "cancel of nothing": {"kind": "control", "name": "cancel"},
    "name of a method": {"name": "__init__"},
    "name with wildcards": {"name": "*.>"},
    "another sender": {"sender": {"agent": "a", "instance": "b", "process": "client"}},
    "sender with wildcards": {"sender": {"agent": "a", "instance": "b", "process": ">"}},
    "sender that is text": {"sender": "me"},
    "tenant with wildcards": {"tenant": "*"},
    "deadline long gone": {"remaining": -1e308},
    "deadline never": {"remaining": 1e308},
    "deadline that is text": {"remaining": "soon"},
    "epoch beyond all": {"epoch": 2**80},
    "a chain without end": {"chain": ["x"] * 20_000},
    "too many hops": {"hops": 2**31},
    "hops below zero": {"hops": -(2**31)},
    "reference to a path": {"ref": {"digest": "../../etc/passwd", "size": 1}},
    "reference to nothing": {"ref": {"digest": "SHA-256=" + "A" * 43 + "=", "size": 10**12}},
    "constraints that widen": {"constraints": {"budget": {"money": -5}, "priority": 99}},
    "fault in a command": {"fault": {"code": "x", "error_class": "transient", "message": ""}},
    "extensions nested": {"ext": {"a": [[[[[[[[[[]]]]]]]]]]}},
}

HARMLESS = {
    "tenant with wildcards",
    "deadline never",
    "epoch beyond all",
    "a chain without end",
    "hops below zero",
    "fault in a command",
    "extensions nested",
}
"""Odd, and understood all the same by who has no use for that field."""


def envelope(process: str = "stranger", **fields: Any) -> dict[str, Any]:
    """An honest command, but for these fields."""
    sender = {"agent": "x", "instance": "y", "process": process}
    whole = {"v": 1, "id": "i", "kind": "command", "name": "echo", "sender": sender, "correlation": "c"}
    return {**whole, "payload": "hi", **fields}


def envelopes(process: str = "stranger", **base: Any) -> dict[str, bytes]:
    """Everything: raw bytes, and envelopes of `process` with one thing wrong in each."""
    found = dict(BYTES)
    for what, fields in _FIELDS.items():
        found[what] = json.dumps(envelope(process, **{**base, **fields})).encode()
    for what, payload in _PAYLOADS.items():
        found[f"payload {what}"] = with_payload(payload, process, **base)
    packed = msgspec.msgpack.encode(envelope(process, **{**base, "payload": None}))
    for what, tail in {
        "extension": b"\xc7\x01\x05x",
        "list as key": b"\x81\x91\x01\x02",
        "null as key": b"\x81\xc0\x01",
    }.items():
        found[f"msgpack payload {what}"] = packed[:-1] + tail
    return found


def with_payload(payload: bytes, process: str = "stranger", **fields: Any) -> bytes:
    """An envelope around these very bytes."""
    whole = envelope(process, **fields)
    del whole["payload"]
    return json.dumps(whole).encode()[:-1] + b',"payload":' + payload + b"}"
