"""What the wire protocol's page shows can be read by the code, and nothing that the code reads is missing from the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import inspect as types

from mesh.actors.events.batch import decode_batch
from mesh.actors.events.events import event_stream
from mesh.contract_net.composing import content_of
from mesh.protocols import acts, dead_letters, envelope, job_events, references, submission
from mesh.protocols.job_inbox import read_said
from mesh.protocols.naming.jobs import shard_of
from mesh.protocols.subjects import Subjects
from mesh.registry import records
from mesh.telemetry import report
from mesh.transport.nats import objects
from mesh.transport.nats.streams import bucket_config, stream_config
from tests.docs.generated import DOCS

PAGE = (DOCS / "wire-protocol.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(kind, text, id=f"{number}-{kind}")
    for number, (kind, text) in enumerate(re.findall(r"^```json ?(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
]


def _struct(kind: type[msgspec.Struct], text: str) -> None:
    msgspec.json.decode(text, type=kind)
    assert unheard_of(json.loads(text), types.type_info(kind)) == []


def unheard_of(value: Any, kind: types.Type) -> list[str]:
    """Fields in `value` that its type does not have: they would be ignored, so they must not stand in an example."""
    if isinstance(kind, types.UnionType):
        tags = {each.tag: each for each in kind.types if isinstance(each, types.StructType)}
        kind = tags.get(value.get("type"), next(iter(tags.values()))) if isinstance(value, dict) and tags else kind
    if isinstance(kind, types.StructType) and isinstance(value, dict):
        fields = {each.encode_name: each.type for each in kind.fields}
        found = [name for name in value if name not in fields and name != kind.tag_field]
        return found + [
            each for name, part in value.items() if name in fields for each in unheard_of(part, fields[name])
        ]
    if isinstance(kind, types.VarTupleType):
        return [each for part in value for each in unheard_of(part, kind.item_type)]
    if isinstance(kind, types.DictType):
        return [each for part in value.values() for each in unheard_of(part, kind.value_type)]
    return []


def _envelope(text: str) -> None:
    _struct(envelope.Envelope, text)
    decoded = envelope.decode(text.encode())
    if decoded.kind == "act":
        _struct(type(content_of(decoded)), bytes(decoded.payload).decode())
        assert decoded.name in acts.ACTS


def _entry(text: str) -> None:
    _struct(job_events.Entry, text)
    assert not any(isinstance(event, job_events.Unknown) for event in job_events.decode_entry(text.encode()).events)


def _bucket(text: str) -> None:
    spec = job_spec("leases", "process leases")
    assert json.loads(text) == bucket_config(spec, 1)


def job_spec(name: str, description: str) -> Any:
    from mesh.protocols.ports import BucketSpec

    return BucketSpec(name=Subjects().bucket(name), description=description)


def _ids(text: str) -> None:
    for parts, expected in json.loads(text).items():
        kind, first, second = parts.split(" · ")
        by_key = submission.job_id_for_key(first, second)
        assert (by_key if kind == "key" else submission.job_id_for_message(first, int(second))) == expected


def _shards(text: str) -> None:
    for job, shard in json.loads(text).items():
        assert shard_of(job) == shard


CHECKS: dict[str, Callable[[str], None]] = {
    "envelope": _envelope,
    "entry": _entry,
    "bucket": _bucket,
    "ids": _ids,
    "shards": _shards,
    "events": lambda text: _equal(json.loads(text), stream_config(event_stream(Subjects()), 1)),
    "lease": lambda text: _struct(records.Lease, text),
    "record": lambda text: _struct(records.Instance, text),
    "beat": lambda text: _struct(records.Beat, text),
    "answer": lambda text: _struct(submission.Answer, text),
    "said": lambda text: _equal(json.loads(msgspec.json.encode(read_said(text.encode()))), json.loads(text)),
    "letter": lambda text: _struct(dead_letters.DeadLetter, text),
    "ref": lambda text: _struct(references.Reference, text),
    "object": lambda text: _struct(objects._Entry, text),
    "permissions": lambda text: _equal(set(json.loads(text)), {"publish", "subscribe"}),  # tests/foreign lives by them
    "batch": lambda text: _equal([each.kind for each in decode_batch(text.encode(), pytest.fail)], ["event", "event"]),
    "tune": lambda text: _struct(report.Tune, text),
    "report": lambda text: _struct(report.Report, text),
    "micro": lambda text: _equal(json.loads(text)["type"], "io.nats.micro.v1.ping_response"),
}


def _equal(shown: object, true: object) -> None:
    assert shown == true


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_every_example_is_what_the_code_reads_and_writes(kind: str, text: str) -> None:
    assert kind in CHECKS, "say after ```json what it shows, so that it can be checked"
    CHECKS[kind](text)


def test_the_table_of_the_envelope_has_every_field_with_its_default() -> None:
    section = PAGE.partition("\n## 2. ")[2].partition("\n## 3. ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    told = {
        name: default
        for row in rows
        for name, default in zip(re.findall(r"`(\w+)`", row[0]), re.split(r",\s", row[1]), strict=False)
    }
    found = types.type_info(envelope.Envelope)
    assert isinstance(found, types.StructType)
    for field in found.fields:
        assert field.encode_name in told
        if not field.required and field.default is not msgspec.NODEFAULT and not isinstance(field.default, msgspec.Raw):
            assert told[field.encode_name].endswith(f"= {msgspec.json.encode(field.default).decode()}"), (
                field.encode_name
            )


@pytest.mark.parametrize("family", [name for name in dir(Subjects) if name in ("rpc", "reply", "cfp", "beat", "event", "live", "roll", "ingress", "submit", "job", "dead_letter", "inbox", "hint", "now", "telemetry", "tune")])  # fmt: skip
def test_every_family_of_subjects_is_listed(family: str) -> None:
    made = {"reply": "rep", "event": "evt", "ingress": "in", "dead_letter": "dlq", "telemetry": "tel"}.get(
        family, family
    )
    assert f"`<ns>.{made}." in PAGE
