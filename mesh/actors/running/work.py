"""`Work`: one message in an actor's hands, and the `Responder` that carries away what comes of it.

The exchange answers asks, the contract net's participant answers awards, nobody answers tells, events and timers: the
actor does not know the difference.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mesh.actors.declaring.handler import Handler
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.actors.running.invocation import Invocation
    from mesh.policy.meter import Reservation


class Responder(Protocol):
    """Where the outcome goes. `result` or `failure` is called once, last; items and progress come before.

    Those two may be done when they return None, else they are to be awaited.
    """

    def progress(self, value: Any) -> None:
        """It is being worked on; `value` is JSON-able and small. Renews the asker's inactivity timeout."""

    async def item(self, value: msgspec.Raw) -> None:
        """One item of a streamed result."""

    def result(self, value: msgspec.Raw, usage: Usage, degraded: str = "") -> Awaitable[None] | None:
        """It is done, and this came out (null after a stream); `degraded` says why it is less than what was asked for."""

    def failure(self, error: MeshError, usage: Usage) -> Awaitable[None] | None:
        """It was not done."""


class Nobody:
    """The responder of what nobody waits for."""

    def progress(self, value: Any) -> None:
        """Nobody looks."""

    async def item(self, value: msgspec.Raw) -> None:
        """Nobody looks."""

    def result(self, value: msgspec.Raw, usage: Usage, degraded: str = "") -> Awaitable[None] | None:
        """Nobody looks."""
        return None

    def failure(self, error: MeshError, usage: Usage) -> Awaitable[None] | None:
        """The actor has told telemetry already."""
        return None


NOBODY = Nobody()


class Work(msgspec.Struct, eq=False):
    """A message to be handled: by `handler`, until `deadline`, for `respond`. `requester` is the process that asked.

    `begun` is set when its handler is called, `cancelled` when the requester cancels it, `settled` once its handler has ended.
    `invocation` is there where its handler has taken its first step already; `stopped_by` is what its requester is told where
    somebody else has cancelled it; `ration` what was set aside for it where there are rate limits.
    """

    envelope: Envelope
    handler: Handler
    respond: Responder
    deadline: Deadline
    requester: str = ""
    offered_at: float = 0.0
    begun: bool = False
    cancelled: bool = False
    settled: bool = False
    invocation: Invocation | None = None
    stopped_by: MeshError | None = None
    ration: Reservation | None = None
