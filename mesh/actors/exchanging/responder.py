"""The answer to an ask: items and progress as they come, then one reply."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.exchanging.exchange import Exchange
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.exchanging.tongue import answer_in
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL, VERSION, Envelope, Kind, Sender, Stamps
from mesh.protocols.errors import Fault, MeshError, TooLarge


def answer(
    inbound: Inbound,
    sender: Sender,
    message_id: str,
    *,
    kind: Kind = "reply",
    payload: msgspec.Raw = NULL,
    seq: int = 0,
    usage: Usage | None = None,
    fault: Fault | None = None,
    degraded: str = "",
    stamps: Stamps | None = None,
) -> Envelope:
    """An envelope that answers `inbound`: same name, correlation, tenant, job and step; caused by it."""
    cause = inbound.envelope
    plain = Envelope(
        v=cause.v if cause.v == VERSION else answer_in(cause.v),
        id=message_id,
        kind=kind,
        name=cause.name,
        sender=sender,
        correlation=cause.correlation,
        causation=cause.id,
        seq=seq,
        usage=usage,
        fault=fault,
        degraded=degraded,
        stamps=stamps,
        payload=payload,
    )
    if cause.tenant == "default" and not (cause.job or cause.epoch or cause.step or cause.trace):
        return plain
    return msgspec.structs.replace(
        plain, tenant=cause.tenant, job=cause.job, epoch=cause.epoch, step=cause.step, trace=cause.trace
    )


class ReplyResponder:
    """Answers one command over the exchange."""

    __slots__ = ("_exchange", "_inbound", "_items", "_sender", "_stamps")

    def __init__(self, exchange: Exchange, inbound: Inbound, sender: Sender, stamps: Stamps) -> None:
        self._exchange = exchange
        self._inbound = inbound
        self._sender = sender
        self._stamps = stamps
        self._items = 0

    def progress(self, value: Any) -> None:
        """It is being worked on."""
        self._exchange.respond_now(self._inbound, self._answer(kind="progress", payload=encode_payload(value)))

    async def item(self, value: msgspec.Raw) -> None:
        """One item; they are numbered from 0."""
        await self._exchange.respond(self._inbound, self._answer(kind="item", payload=value, seq=self._items))
        self._items += 1

    def result(self, value: msgspec.Raw, usage: Usage, degraded: str = "") -> Awaitable[None] | None:
        """The reply; after a stream, `seq` is the number of items there should have been."""
        reply = answer(
            self._inbound, self._sender, self._exchange.ids.uuid(),
            payload=value, seq=self._items, usage=usage, degraded=degraded, stamps=self._stamps,
        )  # fmt: skip
        try:
            return None if self._exchange.responded(self._inbound, reply) else self._large(reply, usage)
        except TooLarge as error:
            return self.failure(error, usage)

    async def _large(self, reply: Envelope, usage: Usage) -> None:
        try:
            await self._exchange.respond(self._inbound, reply)
        except TooLarge as error:
            await self.failure(error, usage)

    async def failure(self, error: MeshError, usage: Usage) -> None:
        """The reply that says why not."""
        fault = error.fault(f"{self._sender.agent}.{self._sender.instance}")
        await self._exchange.respond(
            self._inbound, self._answer(fault=fault, usage=usage, stamps=self._stamps, seq=self._items)
        )

    def _answer(self, **parts: Any) -> Envelope:
        return answer(self._inbound, self._sender, self._exchange.ids.uuid(), **parts)
