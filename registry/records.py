"""What the registry keeps: one record an instance, one lease a process, and the figures that travel in heartbeats."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mesh.protocols.acts import Bid
from mesh.protocols.constraints import Effect
from mesh.protocols.envelope import Stamps

InstanceState = Literal["starting", "ready", "draining", "suspect"]


class Capability(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something an agent can do. `input` and `output` are digests of JSON Schemas kept once, in the schema bucket.

    `command` is the handler's name on the agent; `timeout` the default seconds for one call; `streams` says that the
    reply is a sequence of items.
    """

    name: str
    command: str
    effect: Effect = "costly"
    input: str = ""
    output: str = ""
    timeout: float = 5.0
    streams: bool = False
    description: str = ""


class Instance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One running copy of an agent, under the key `<process>.<agent>.<instance>` of the registry bucket.

    `started_at` is in Unix seconds. A workflow is hosted as the capability `workflow.<name>` with its version in the
    label of the same name.
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
    events: tuple[str, ...] = ()
    stamps: Stamps = Stamps()
    description: str = ""

    @property
    def key(self) -> str:
        """Where the record stands in the registry bucket."""
        return f"{self.process}.{self.agent}.{self.instance}"

    def offers(self, capability: str) -> Capability | None:
        """What this instance declares of the capability, or None."""
        return next((each for each in self.capabilities if each.name == capability), None)


class Lease(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The life of one process, under the key `proc.<process>` of the lease bucket; renewed by CAS with a TTL.

    `server_id` and `client_id` name the connection that a disconnect advisory would name; they are rewritten on every
    reconnect. `incarnation` is new for every start of the process, so that two with one name are told apart.
    """

    process: str
    host: str
    pid: int
    incarnation: str
    server_id: str
    client_id: int
    release: str = ""


class Figures(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one instance does at the moment: its load and its standing bids by capability.

    `latency` is the decayed mean of seconds a call, `success` the decayed share of calls that succeeded; `breakers` lists
    the targets its own breakers hold open.
    """

    queue: int = 0
    running: int = 0
    capacity: int = 1
    handled: int = 0
    latency: float = 0.0
    success: float = 1.0
    bids: dict[str, Bid] = {}
    breakers: tuple[str, ...] = ()


class Beat(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A heartbeat of one process on `beat.<process>`: only the instances whose figures changed, keyed `<agent>.<instance>`.

    `number` counts from 1 in one incarnation; `lag` is the event loop's delay in seconds.
    """

    process: str
    incarnation: str
    number: int
    lag: float = 0.0
    figures: dict[str, Figures] = {}


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Schema, stored once under its digest."""

    digest: str
    schema: dict[str, Any]
