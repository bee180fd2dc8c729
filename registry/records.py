"""What the registry keeps: one record an instance, one lease a process, and the figures that travel in heartbeats.

None of these can be part of a cycle, and there may be a hundred thousand: they are kept out of garbage collections.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TypeVar

import msgspec

from mesh.protocols.acts import Bid
from mesh.protocols.conduct import Statement
from mesh.protocols.constraints import Effect
from mesh.protocols.envelope import Stamps

Content = TypeVar("Content")

logger = logging.getLogger("mesh.registry")

InstanceState = Literal["starting", "ready", "draining", "suspect"]


class Capability(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Something an agent can do. `input` and `output` are digests of JSON Schemas kept once, in the schema bucket.

    `command` is the handler's name on the agent; `timeout` the default seconds for one call; `streams` says that the
    reply is a sequence of items; `hedge` that it is `pure`, and worth a second attempt elsewhere when it takes long.
    """

    name: str
    command: str
    effect: Effect = "costly"
    input: str = ""
    output: str = ""
    timeout: float = 5.0
    streams: bool = False
    description: str = ""
    hedge: bool = False


class Instance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One running copy of an agent, under the key `<process>.<agent>.<instance>` of the registry bucket.

    `started_at` is in Unix seconds. `incarnation` is that of the process's lease: a record left by an earlier start of the
    process is not listed. A workflow is hosted as the capability `workflow.<name>` with its version in the
    label of the same name. `commands` are those without a capability: they can be asked by name, and nobody bids for them.
    """

    agent: str
    version: str
    instance: str
    process: str
    host: str
    pid: int
    started_at: float
    state: InstanceState = "starting"
    labels: dict[str, str] = {}
    capabilities: tuple[Capability, ...] = ()
    commands: tuple[Capability, ...] = ()
    events: tuple[str, ...] = ()
    stamps: Stamps = Stamps()
    description: str = ""
    incarnation: str = ""

    @property
    def key(self) -> str:
        """Where the record stands in the registry bucket. One object for all who ask: a dozen tables are kept by it."""
        return sys.intern(f"{self.process}.{self.agent}.{self.instance}")

    def offers(self, capability: str) -> Capability | None:
        """What this instance declares of the capability, or None."""
        return next((each for each in self.capabilities if each.name == capability), None)


class Lease(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The life of one process, under the key `proc.<process>` of the lease bucket; renewed by CAS with a TTL.

    `server_id` and `client_id` name the connection that a disconnect advisory would name; they are rewritten on every
    reconnect. `incarnation` is new for every start of the process, so that two with one name are told apart. `seconds` is the
    lease's length: what everybody must be given to renew after the store was away.
    """

    process: str
    host: str
    pid: int
    incarnation: str
    server_id: str
    client_id: int
    seconds: int = 3
    release: str = ""


class Figures(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """How one instance does at the moment: its load and its standing bids by capability.

    `capacity` is how many calls it handles at once now; where that adapts, `ceiling` is how many were declared, else 0.
    `latency` is the decayed mean of seconds a call, `success` the decayed share of calls that succeeded; `breakers` lists
    what its process votes against, each as `<target> <capability>`: the target is an instance's key, or `<agent>@<version>`
    whose outputs failed their gates.
    """

    queue: int = 0
    running: int = 0
    capacity: int = 1
    handled: int = 0
    latency: float = 0.0
    success: float = 1.0
    bids: dict[str, Bid] = {}
    breakers: tuple[str, ...] = ()
    ceiling: int = 0


class Beat(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A heartbeat of one process on `beat.<process>`: only the instances whose figures changed, keyed `<agent>.<instance>`.

    `number` counts from 1 in one incarnation; `lag` is the event loop's delay in seconds; `more` says that further parts
    of the same beat follow, because the figures of all instances did not fit in one message. `conduct` is what the process
    measured of those to whom it gave work: at most 32 every five seconds, what changed; in the beat's first part.
    """

    process: str
    incarnation: str
    number: int
    lag: float = 0.0
    figures: dict[str, Figures] = {}
    more: bool = False
    conduct: tuple[Statement, ...] = ()


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Schema, stored once under its digest."""

    digest: str
    schema: dict[str, Any]


_leases = msgspec.json.Decoder(Lease)
_instances = msgspec.json.Decoder(Instance)
_beats = msgspec.json.Decoder(Beat)


def lease_in(key: str, value: bytes) -> Lease | None:
    """The lease under `key`, or None (and a log line) when it is malformed or speaks for another process."""
    lease = _read(_leases, key, value)
    return lease if lease is not None and _fits(key, f"proc.{lease.process}") else None


def instance_in(key: str, value: bytes) -> Instance | None:
    """The record under `key`, or None (and a log line) when it is malformed or speaks for another key."""
    record = _read(_instances, key, value)
    return record if record is not None and key.count(".") == 2 and _fits(key, record.key) else None


_IN_COMMON = (
    "agent", "version", "process", "host", "labels", "capabilities", "commands", "events", "stamps", "description", "incarnation",
)  # fmt: skip


def share(record: Instance, known: Instance) -> None:
    """Let a record that was just read share with a known one of the same agent what is alike: nine tenths of its memory."""
    for name in _IN_COMMON:
        value = getattr(known, name)
        if getattr(record, name) == value:
            msgspec.structs.force_setattr(record, name, value)


def beat_in(subject: str, data: bytes) -> Beat | None:
    """The beat on `subject`, or None (and a log line) when it is malformed or speaks for another process."""
    beat = _read(_beats, subject, data)
    return beat if beat is not None and _fits(subject.rpartition(".")[2], beat.process) else None


def _read(decoder: msgspec.json.Decoder[Content], place: str, value: bytes) -> Content | None:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        logger.warning("%s: not understood, ignored: %s", place, error)
        return None


def _fits(place: str, claimed: str) -> bool:
    if place != claimed:
        logger.warning("%s: speaks for %r, ignored", place, claimed)
    return place == claimed
