"""Streams and the streams behind buckets and object stores: their configuration, and bringing them to it."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.errors import MeshError, NoResponders, Refused, Unavailable
from mesh.protocols.ports import BucketSpec, StreamSpec
from mesh.transport.nats.api import (
    NANOSECONDS,
    PREFIX,
    TIMEOUT,
    TOO_FEW_SERVERS,
    OtherConfiguration,
    call,
    insist,
    settled,
)
from mesh.transport.nats.bus import NatsBus

MARKER_TTL = 60
"""Seconds that the marker of a deleted or expired key stays. Without it watchers hear nothing of an expiry."""


class _Reached(msgspec.Struct, frozen=True):
    last_seq: int = 0


class StreamState(msgspec.Struct):
    """What we read of a stream: its configuration, how far it is, and `created`, which tells a stream from its successor."""

    config: dict[str, Any]
    created: str
    state: _Reached = _Reached()


class _Purged(msgspec.Struct):
    purged: int = 0


def stream_config(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    """The server's configuration of a stream."""
    age = 0 if spec.max_age is None else int(spec.max_age * NANOSECONDS)
    window = int(spec.duplicate_window * NANOSECONDS)
    config = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "storage": spec.storage,
        "retention": spec.retention,
        "discard": "old",
        "max_age": age,
        "max_bytes": -1 if spec.max_bytes is None else spec.max_bytes,
        "duplicate_window": min(window, age) if age else window,
        "num_replicas": replicas,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
        "description": spec.description,
    }
    if spec.allow_schedules:
        config["allow_msg_schedules"] = True
    return config


def bucket_config(spec: BucketSpec, replicas: int) -> dict[str, Any]:
    """The server's configuration of a bucket: history 1, or a marker's TTL would become the least TTL of every key."""
    return {
        "name": bucket_stream(spec.name),
        "subjects": [f"$KV.{spec.name}.>"],
        "storage": spec.storage,
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": 0,
        "max_bytes": -1,
        "duplicate_window": 120 * NANOSECONDS,
        "num_replicas": replicas,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": MARKER_TTL * NANOSECONDS,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "description": spec.description,
    }


def object_store_config(name: str, replicas: int) -> dict[str, Any]:
    """The server's configuration of an object store, as every NATS client knows it."""
    return {
        "name": object_stream(name),
        "subjects": [f"$O.{name}.C.>", f"$O.{name}.M.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_bytes": -1,
        "duplicate_window": 120 * NANOSECONDS,
        "num_replicas": replicas,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
    }


def bucket_stream(bucket: str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"


def object_stream(name: str) -> str:
    """The stream behind an object store."""
    return f"OBJ_{name}"


async def ensure(bus: NatsBus, config: dict[str, Any]) -> StreamState:
    """Create the stream, or bring an existing one to this shape, so that it can be reached from here. What an operator set
    beyond it (more replicas, say) stays.

    Raises:
        Refused: the existing one cannot be changed in place (storage, retention).
        Unavailable: the cluster has too few servers for its replicas now.
        NoResponders: the server that we are connected to does not hear of it from the others.
    """
    state = await _ensure(bus, config)
    if bus.cluster:
        await settled(bus, lambda: insist(bus, lambda: _look_for(bus, config["name"])), unsettled=NoResponders)
    return state


async def _look_for(bus: NatsBus, stream: str) -> None:
    """Ask it for something that it does not have: of a stream that another server has made, ours hears some milliseconds later
    than whoever asks that one to make it, too, and until then nobody takes what is sent to it."""
    try:
        await bus.request(f"{PREFIX}DIRECT.GET.{stream}", b'{"last_by_subj":"~"}', timeout=TIMEOUT)
    except Refused as error:
        if error.detail.get("reason") != "permissions":
            raise


async def _ensure(bus: NatsBus, config: dict[str, Any]) -> StreamState:
    name = config["name"]
    try:
        return _state(await settled(bus, lambda: insist(bus, lambda: call(bus, f"STREAM.CREATE.{name}", config))))
    except OtherConfiguration:
        there = await settled(bus, lambda: info(bus, name))
    except MeshError as error:
        if error.detail.get("err_code") != TOO_FEW_SERVERS:
            raise
        raise _too_few(name, config["num_replicas"], error) from error
    wanted = {**there.config, **config, "num_replicas": max(there.config["num_replicas"], config["num_replicas"])}
    if wanted == there.config:
        return there
    return _state(await insist(bus, lambda: call(bus, f"STREAM.UPDATE.{name}", wanted)))


async def info(bus: NatsBus, name: str) -> StreamState:
    """The stream as it is.

    Raises:
        MissingStream: there is none.
    """
    return _state(await insist(bus, lambda: call(bus, f"STREAM.INFO.{name}")))


async def purge(bus: NatsBus, stream: str, subject: str, up_to: int | None = None) -> int:
    """Remove the messages on matching subjects, those above `up_to` excepted; how many those were."""
    request: dict[str, Any] = {"filter": subject}
    if up_to is not None:
        if up_to < 1:
            return 0
        request["seq"] = up_to + 1
    return msgspec.json.decode(await call(bus, f"STREAM.PURGE.{stream}", request), type=_Purged).purged


def _too_few(name: str, replicas: int, error: MeshError) -> Unavailable:
    return Unavailable(
        f"no room for {replicas} replicas of {name} in the cluster now ({error.message}): start more of its servers, or ask "
        "for fewer with MESH_REPLICAS",
        detail=error.detail,
    )


def _state(answer: bytes) -> StreamState:
    return msgspec.json.decode(answer, type=StreamState)
