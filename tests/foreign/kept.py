"""What NATS keeps: streams, key-value buckets and objects, by plain requests to JetStream (sections 6 to 9 of the document)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.foreign.wire import Message, Wire

EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class Rejected(Exception):
    """JetStream said no; `code` is its `err_code`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code = error.get("err_code", error.get("code"))


class Entry(NamedTuple):
    """The newest message of a key: `value` is None where it was removed or has expired."""

    value: Any
    revision: int


async def api(wire: Wire, call: str, body: Any = None) -> dict[str, Any]:
    (answer,) = await wire.request(f"$JS.API.{call}", b"" if body is None else json.dumps(body).encode())
    return _read(answer)


async def append(wire: Wire, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Publish into the stream that captures the subject: its PubAck."""
    (answer,) = await wire.request(subject, data, headers)
    return _read(answer)


def _read(answer: Message) -> dict[str, Any]:
    if answer.status:
        raise Rejected({"code": int(answer.status)})
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        raise Rejected(found["error"])
    return found


async def create_bucket(wire: Wire, bucket: str) -> None:
    """A registry bucket as section 6 gives it. There already: nothing happens."""
    second = 1_000_000_000
    config = {
        "name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "storage": "memory", "discard": "new",
        "max_msgs_per_subject": 1, "allow_direct": True, "allow_msg_ttl": True, "allow_rollup_hdrs": True,
        "deny_delete": True, "subject_delete_marker_ttl": 60 * second, "duplicate_window": 120 * second,
    }  # fmt: skip
    try:
        await api(wire, f"STREAM.CREATE.KV_{bucket}", config)
    except Rejected as error:
        if error.code != 10058:  # there, and configured a little differently
            raise


async def get(wire: Wire, bucket: str, key: str) -> Entry:
    (answer,) = await wire.request(f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}")
    return Entry(None, 0) if answer.status == "404" else _entry(answer)


async def put(
    wire: Wire, bucket: str, key: str, value: Any, *, ttl: int | None = None, revision: int | None = None
) -> int:
    """Write; with `revision`, only over exactly that one. The new revision."""
    headers = {} if ttl is None else {"Nats-TTL": str(ttl)}
    if revision is not None:
        headers[EXPECTED] = str(revision)
    return int((await append(wire, f"$KV.{bucket}.{key}", json.dumps(value).encode(), headers))["seq"])


async def remove(wire: Wire, bucket: str, key: str) -> None:
    headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "60"}
    await append(wire, f"$KV.{bucket}.{key}", b"", headers)


async def everything(wire: Wire, bucket: str) -> dict[str, Any]:
    """Every live key with its value."""
    question = json.dumps({"multi_last": [f"$KV.{bucket}.>"], "batch": 500}).encode()
    answers = await wire.request(f"$JS.API.DIRECT.GET.KV_{bucket}", question, until="204")
    entries = {each.headers["Nats-Subject"].removeprefix(f"$KV.{bucket}."): _entry(each) for each in answers[:-1]}
    return {key: entry.value for key, entry in entries.items() if entry.value is not None}


def _entry(message: Message) -> Entry:
    gone = "KV-Operation" in message.headers or "Nats-Marker-Reason" in message.headers
    return Entry(None if gone else json.loads(message.data), int(message.headers["Nats-Sequence"]))


async def follow(wire: Wire, stream: str, subject: str) -> asyncio.Queue[Message]:
    """Every message on the subject from the first, then new ones as they come."""
    inbox = wire.inbox()
    found: asyncio.Queue[Message] = asyncio.Queue()
    wire.subscribe(inbox, lambda message: None if message.status else found.put_nowait(message))
    config = {"deliver_subject": inbox, "deliver_policy": "all", "ack_policy": "none", "filter_subject": subject}
    config["name"] = secrets.token_hex(8)
    await api(wire, f"CONSUMER.CREATE.{stream}.{config['name']}.{subject}", {"stream_name": stream, "config": config})
    return found


async def journal(wire: Wire, namespace: str, tenant: str, job: str) -> asyncio.Queue[Message]:
    """A job's journal from its first entry, then every entry as it comes."""
    shard = f"{binascii.crc32(job.encode()) & 15:x}"
    return await follow(wire, f"mesh_{namespace}_JOB_{shard}", f"mesh.{namespace}.job.{tenant}.{shard}.{job}")


async def put_object(wire: Wire, store: str, data: bytes) -> dict[str, Any]:
    """Keep bytes under their digest; gives the reference."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    nuid = secrets.token_hex(11)
    chunks = [data[start : start + 131072] for start in range(0, len(data), 131072)]
    for chunk in chunks:
        await append(wire, f"$O.{store}.C.{nuid}", chunk)
    about = {
        "name": digest, "bucket": store, "nuid": nuid, "size": len(data), "chunks": len(chunks),
        "digest": "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode(),
        "mtime": "0001-01-01T00:00:00Z", "options": {"max_chunk_size": 131072},
    }  # fmt: skip
    await append(wire, f"$O.{store}.M.{_object_name(digest)}", json.dumps(about).encode())
    return {"digest": digest, "size": len(data)}


async def get_object(wire: Wire, store: str, digest: str) -> bytes:
    """The bytes behind a reference."""
    (entry,) = await wire.request(f"$JS.API.DIRECT.GET.OBJ_{store}.$O.{store}.M.{_object_name(digest)}")
    about = json.loads(entry.data)
    question = {"seq": 1, "next_by_subj": f"$O.{store}.C.{about['nuid']}", "batch": about["chunks"]}
    chunks = await wire.request(f"$JS.API.DIRECT.GET.OBJ_{store}", json.dumps(question).encode(), until="204")
    data = b"".join(chunk.data for chunk in chunks[:-1])
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def _object_name(digest: str) -> str:
    return base64.urlsafe_b64encode(digest.encode()).decode()
