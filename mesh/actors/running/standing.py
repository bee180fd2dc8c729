"""`Standing`: how an actor stands, as others see it: its load, its bids, and what each tenant has of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mesh.actors.admitting.fairness import Share
from mesh.actors.admitting.flow import Flow
from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.declaring.definition import AgentDefinition
from mesh.actors.declaring.handler import Handler
from mesh.actors.running.supervision import Supervision
from mesh.actors.running.tally import Tally
from mesh.actors.running.work import Work
from mesh.protocols.acts import Bid
from mesh.registry.records import InstanceState

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

_STATES: dict[str, InstanceState] = {
    "ready": "ready", "draining": "draining", "failed": "draining", "stopped": "draining",
}  # fmt: skip
"""Who is given up, or has stopped, is listed no more in a moment, and is not to be asked until then."""


class Standing:
    """The part of an actor that changes nothing. It is the host of its mailbox (`fairness.Host`), too."""

    __slots__ = ()

    peer: Peer
    definition: AgentDefinition
    capacity: int
    mailbox: Mailbox
    tally: Tally
    supervision: Supervision
    flow: Flow | None
    _running: dict[Work, asyncio.Task[None]]
    _drains: list[asyncio.Task[None]]
    _starting: bool

    @property
    def state(self) -> InstanceState:
        """As the registry shows it."""
        return _STATES.get(self.supervision.state, "starting")

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self.mailbox)

    @property
    def running(self) -> int:
        """How many messages are being handled now."""
        return len(self._running)

    @property
    def active(self) -> bool:
        """Whether something runs, or is about to."""
        return bool(self._drains)

    @property
    def free(self) -> int:
        """How many of those that wait are begun in this turn of the loop."""
        if self.flow is None or self.flow.waits:
            return self.capacity - len(self._running)
        return int(self._starting)

    @property
    def ceiling(self) -> int:
        """How many it may handle at once, as declared."""
        gradient = self.flow.gradient if self.flow is not None else None
        return self.capacity if gradient is None else gradient.most

    def bid(self, handler: Handler) -> Bid:
        """The present bid for one command, from figures alone."""
        return self.tally.bid(handler, waiting=self.waiting, running=self.running, capacity=self.capacity)

    # -- tenants

    @property
    def shares(self) -> Mapping[str, Share]:
        """What was decided about tenants; empty where nothing was."""
        return self.peer.policy.shares

    def share(self, tenant: str) -> Share:
        """What that tenant gets."""
        return self.peer.policy.share(tenant)

    def held(self) -> dict[str, int]:
        """How many messages of each tenant are being handled."""
        return dict(Counter(work.envelope.tenant for work in self._running))

    def in_hand(self) -> dict[str, int]:
        """How many messages of each tenant are being handled, or wait."""
        waiting = Counter(work.envelope.tenant for work in self.mailbox)
        waiting.update(self.held())
        return dict(waiting)
