"""The messages of one negotiation, on their way out."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from mesh.contract_net.calls import Call
from mesh.contract_net.composing import act
from mesh.contract_net.line import Line
from mesh.protocols.acts import Proposal, RejectProposal
from mesh.protocols.awards import Candidate
from mesh.protocols.envelope import Envelope, Sender, encode
from mesh.protocols.errors import MeshError
from mesh.protocols.references import LIMIT

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

ADDRESSES = 10_000
"""Subjects that are remembered, at most."""

COPIES = 16
"""Copies of an award whose answers are still expected: the latest. A participant answers whoever asked last, so that nothing
comes for those before any more, and work that takes hours is asked after a thousand times."""

RejectReason = Literal["outbid", "late", "unacceptable", "cancelled"]
SendLater = Callable[[Callable[[], Awaitable[None]], Line], None]


class Addressee(Protocol):
    """An instance: a candidate, or a record of the registry."""

    @property
    def process(self) -> str:
        """Its process."""

    @property
    def agent(self) -> str:
        """Its agent."""

    @property
    def instance(self) -> str:
        """Its name."""


class Addresses:
    """The subjects of instances, as this process writes to them; kept, since it writes to the same ones again and again."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._known: dict[tuple[str, str, str], str] = {}

    def of(self, whom: Addressee) -> str:
        """Where acts for this instance go."""
        name = whom.process, whom.agent, whom.instance
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= ADDRESSES:
                self._known.clear()
            found = self._known[name] = self._peer.subjects.rpc(*name, self._peer.process)
        return found


class Mail:
    """Sends acts and expects their answers on lines. `later` is handed what has to be awaited: large messages."""

    def __init__(self, peer: Peer, addresses: Addresses, call: Call, later: SendLater | None = None) -> None:
        self._peer = peer
        self._addresses = addresses
        self._call = call
        self._later = later
        self._sender = call.sender or Sender("", "", peer.process)
        self._tokens: list[str] = []
        self._copies: deque[str] = deque()

    def to_everybody(self, capability: str, content: msgspec.Struct, line: Line) -> None:
        """Send an act to everyone who offers the capability."""
        self._send(self._peer.subjects.cfp(capability, self._peer.process), self._envelope(content), line)

    def to_instance(
        self, whom: Addressee, content: msgspec.Struct, line: Line, *, key: str = "", attempt: int = 1
    ) -> bool:
        """Send an act to one instance. False: it is large, and leaves a little later."""
        return self._send(self._addresses.of(whom), self._envelope(content, key, attempt), line, copy=attempt > 1)

    def tell(self, whom: Addressee, content: msgspec.Struct) -> None:
        """Send what nobody answers, and what may as well get lost: leases and deadlines do the same, later."""
        with contextlib.suppress(MeshError):
            self._peer.bus.publish(self._addresses.of(whom), encode(self._envelope(content)))

    def reject(self, conversation: str, proposals: Sequence[Proposal | Candidate], reason: RejectReason) -> None:
        """Tell one process that these of its proposals are not taken."""
        first, *others = (each.id if isinstance(each, Proposal) else each.proposal for each in proposals)
        content = RejectProposal(conversation=conversation, proposal=first, reason=reason, others=tuple(others))
        self.tell(proposals[0], content)

    def keep(self, token: str) -> None:
        """Somebody else sent a message of this negotiation, with this token."""
        self._tokens.append(token)

    def close(self) -> None:
        """Expect no more answers. Again: nothing happens."""
        for token in (*self._tokens, *self._copies):
            self._peer.exchange.forget(token)
        self._tokens.clear()
        self._copies.clear()

    def _envelope(self, content: msgspec.Struct, key: str = "", attempt: int = 1) -> Envelope:
        version = self._peer.tongue.version
        return act(self._call, self._sender, self._peer.ids, content, key=key, attempt=attempt, version=version)

    def _send(self, subject: str, envelope: Envelope, line: Line, *, copy: bool = False) -> bool:
        line.token = self._peer.exchange.expect(line)
        (self._copies if copy else self._tokens).append(line.token)
        if len(self._copies) > COPIES:
            self._peer.exchange.forget(self._copies.popleft())
        data = encode(envelope)
        if len(data) <= LIMIT:
            self._peer.bus.publish(subject, data, reply=line.reply)
            return True
        assert self._later is not None
        self._later(lambda: self._peer.exchange.send(subject, envelope, reply=line.reply), line)
        return False
