"""An initiator that speaks act by act, so that a test can send what an honest one would not, or not so soon."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from mesh.actors.peer import Peer
from mesh.contract_net.composing import content_of, payload_of
from mesh.protocols.acts import AcceptProposal, CallForProposal, Cancel, RejectProposal
from mesh.protocols.envelope import VERSION, Envelope, Sender, decode, encode
from mesh.protocols.naming.calls import ANYONE
from mesh.protocols.ports import Bus, Message
from mesh.testing.virtual_time import until

_numbers = itertools.count(1)


class Stranger:
    """One initiating process. `answers` are (performative, content, envelope) in the order they came."""

    def __init__(self, bus: Bus, peer: Peer, name: str) -> None:
        self.bus, self.peer, self.name = bus, peer, name
        self.answers: list[tuple[str, Any, Envelope]] = []
        self.tokens: list[str] = []

    async def listen(self) -> Stranger:
        await self.bus.subscribe(self.peer.subjects.reply_inbox(self.name), self._hear)
        return self

    def _hear(self, message: Message) -> None:
        if message.no_responders:
            return
        envelope = decode(message.data)
        content = content_of(envelope) if envelope.kind == "act" else envelope
        self.tokens.append(message.subject.rpartition(".")[2])
        self.answers.append((envelope.name if envelope.kind == "act" else envelope.kind, content, envelope))

    def names(self) -> list[str]:
        return [name for name, _, _ in self.answers]

    async def until(self, name: str, count: int = 1) -> Any:
        """Wait for the `count`-th answer of that name, and give its content."""
        await until(lambda: self.names().count(name) >= count, timeout=3.0)
        return [content for each, content, _ in self.answers if each == name][count - 1]

    def send(self, content: msgspec.Struct, *, token: str = "t", seat: str = "worker.a", **fields: Any) -> None:
        agent, _, instance = seat.partition(".")
        subject = self.peer.subjects.rpc(self.peer.process, agent, instance, self.name)
        self._publish(subject, self.peer.process, content, token, fields)

    def broadcast(self, content: CallForProposal, *, token: str = "t", **fields: Any) -> None:
        subject = self.peer.subjects.cfp(content.capability, self.name)
        self._publish(subject, ANYONE, content, token, fields)

    def _publish(self, subject: str, responder: str, content: msgspec.Struct, token: str, fields: Any) -> None:
        name, payload = payload_of(content)
        envelope = Envelope(
            v=VERSION,
            id=f"m{next(_numbers)}",
            kind="act",
            name=name,
            sender=Sender("stranger", self.name, self.name),
            correlation="c",
            payload=payload,
            **{"remaining": 10.0, **fields},
        )
        self.bus.publish(subject, encode(envelope), reply=self.peer.subjects.reply(self.name, responder, token))

    # -- the acts

    def call(self, conversation: str = "talk", **fields: Any) -> None:
        self.broadcast(CallForProposal(conversation=conversation, capability="do", window=0.25), **fields)

    def accept(
        self, award: str = "w1", *, proposal: str = "", payload: Any = 0.0, effect: Any = "costly", **fields: Any
    ) -> None:
        content = AcceptProposal(
            conversation="talk",
            award=award,
            capability="do",
            proposal=proposal,
            effect=effect,
            input=msgspec.Raw(msgspec.json.encode(payload)),
        )
        self.send(content, **fields)

    def reject(self, proposal: str) -> None:
        self.send(RejectProposal(conversation="talk", proposal=proposal))

    def cancel(self, award: str = "w1", **fields: Any) -> None:
        self.send(Cancel(conversation="talk", award=award), **fields)
