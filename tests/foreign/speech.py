"""Envelopes as section 2 of the document has them, and the exchange of section 3: one process that asks and is answered."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

from tests.foreign import kept
from tests.foreign.wire import Message, Wire

Envelope = dict[str, Any]


def new_id() -> str:
    """A uuid7."""
    text = (
        f"{int(time.time() * 1000):012x}7{secrets.token_hex(2)[1:]}{secrets.choice('89ab')}{secrets.token_hex(8)[1:]}"
    )
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Nobody(Exception):
    """The server says that nobody listens (503)."""


class Answers:
    """What comes back for one message, in order; `tokens` of the subjects are checked by whoever listens."""

    def __init__(self, speaker: Speaker, token: str) -> None:
        self.envelopes: asyncio.Queue[Envelope | None] = asyncio.Queue()
        self.token = token
        self._speaker = speaker

    async def next(self, timeout: float = 30.0) -> Envelope:
        """The next one, its payload fetched if it is kept elsewhere."""
        async with asyncio.timeout(timeout):
            envelope = await self.envelopes.get()
        if envelope is None:
            raise Nobody
        return await self._speaker.whole(envelope)

    async def until(self, *names: str) -> list[Envelope]:
        """All up to the first of that kind or performative."""
        found = [await self.next()]
        while found[-1]["kind"] not in names and found[-1]["name"] not in names:
            found.append(await self.next())
        return found


class Speaker:
    """One process of the mesh that asks others. `agent` is whom it speaks for."""

    def __init__(self, wire: Wire, namespace: str, process: str, agent: str = "stranger") -> None:
        self.wire = wire
        self.ns = f"mesh.{namespace}"
        self.names = f"mesh_{namespace}_"
        self.process = process
        self.sender = {"agent": agent, "instance": process, "process": process}
        self._waiting: dict[str, Answers] = {}
        wire.subscribe(f"{self.ns}.rep.{process}.>", self._heard)

    def envelope(self, kind: str, name: str, payload: Any = None, **fields: Any) -> Envelope:
        message = {"v": 1, "id": new_id(), "kind": kind, "name": name, "sender": self.sender, "payload": payload}
        return {"correlation": message["id"], **message, **fields}

    def say(self, subject: str, envelope: Envelope, responder: str = "_") -> Answers:
        """Publish to a subject that ends in our own process, and listen for what is answered."""
        token = secrets.token_hex(6)
        answers = self._waiting[token] = Answers(self, token)
        reply = f"{self.ns}.rep.{self.process}.{responder}.{token}"
        self.wire.publish(f"{subject}.{self.process}", json.dumps(envelope).encode(), reply)
        return answers

    def to(self, seat: str, envelope: Envelope) -> Answers:
        """To one instance, `<process>.<agent>.<instance>`."""
        return self.say(f"{self.ns}.rpc.{seat}", envelope, seat.partition(".")[0])

    def ask(self, seat: str, command: str, payload: Any = None, **fields: Any) -> Answers:
        return self.to(seat, self.envelope("command", command, payload, **{"remaining": 30.0, **fields}))

    def act(self, seat: str, performative: str, content: Envelope, **fields: Any) -> Answers:
        return self.to(seat, self.envelope("act", performative, content, **{"remaining": 30.0, **fields}))

    def call(self, capability: str, content: Envelope) -> Answers:
        """A call for proposals to everybody."""
        envelope = self.envelope("act", "call-for-proposal", {"capability": capability, **content}, remaining=30.0)
        return self.say(f"{self.ns}.cfp.{capability.replace('.', '_')}", envelope)

    def award(self, seat: str, award: str, capability: str, payload: Any, **more: Any) -> Answers:
        """An accept-proposal; without a `proposal` among `more` it takes the standing bid."""
        content = {"conversation": "talk", "award": award, "capability": capability, "input": payload, **more}
        return self.act(seat, "accept-proposal", content)

    async def whole(self, envelope: Envelope) -> Envelope:
        """With its payload in it."""
        if "ref" not in envelope:
            return envelope
        data = await kept.get_object(self.wire, f"{self.names}objects", envelope["ref"]["digest"])
        return {**envelope, "payload": json.loads(data)}

    def _heard(self, message: Message) -> None:
        _, _, responder, token = message.subject.removeprefix(self.ns).removeprefix(".").split(".")
        answers = self._waiting.get(token)
        if answers is None:
            return
        if message.status == "503":
            answers.envelopes.put_nowait(None)
            return
        envelope = json.loads(message.data)
        assert envelope["sender"]["process"] == responder
        answers.envelopes.put_nowait(envelope)
