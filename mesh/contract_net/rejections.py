"""`Rejections`: proposals that were not taken, told to each process once a turn of the loop.

Many calls end in one turn when many are under way; their losers are often in the same processes. Nobody waits for a
rejection, and it may as well get lost: leases do the same, later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.contract_net.calls import Call
from mesh.contract_net.mail import Addresses, Mail
from mesh.protocols.acts import Proposal

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

MOST = 256
"""Proposals in one message."""


class Waiting:
    """What one process is to be told, on behalf of the first call that had something for it."""

    __slots__ = ("call", "conversation", "proposals")

    def __init__(self, call: Call, conversation: str) -> None:
        self.call = call
        self.conversation = conversation
        self.proposals: list[Proposal] = []


class Rejections:
    """Those of one initiator. The calls of different jobs and tenants are told apart: their messages are theirs."""

    def __init__(self, peer: Peer, addresses: Addresses) -> None:
        self._peer = peer
        self._addresses = addresses
        self._waiting: dict[tuple[str, str, str, int], Waiting] = {}

    def add(self, call: Call, conversation: str, proposals: Sequence[Proposal]) -> None:
        """Tell one process, at the end of this turn of the loop, that these of its proposals are not taken."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._tell)
        key = proposals[0].process, call.tenant, call.job, call.epoch
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = Waiting(call, conversation)
        waiting.proposals.extend(proposals)

    def _tell(self) -> None:
        told, self._waiting = self._waiting, {}
        for each in told.values():
            mail = Mail(self._peer, self._addresses, each.call)
            for start in range(0, len(each.proposals), MOST):
                mail.reject(each.conversation, each.proposals[start : start + MOST], "outbid")
