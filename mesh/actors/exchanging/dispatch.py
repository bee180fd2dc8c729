"""`Dispatch`: every message to this process, off the one subscription `rpc.<me>.>`, checked and handed on.

Nothing that arrives here can raise out of it: what cannot be read or should not have been sent is answered with its type
where an honest way to answer exists, and counted.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.asking.breaker_control import BreakerControl
from mesh.actors.exchanging.exchange import HostileReply
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.exchanging.responder import ReplyResponder, answer
from mesh.actors.running.work import NOBODY, Responder, Work
from mesh.protocols.envelope import VERSION, Envelope, Sender
from mesh.protocols.errors import (
    BadEnvelope,
    Cancelled,
    DeadlineExceeded,
    InvalidName,
    MeshError,
    NotUnderstood,
    UnknownAgent,
    UnknownCommand,
    VersionUnsupported,
)
from mesh.protocols.naming.calls import Rpc
from mesh.protocols.naming.names import check_token
from mesh.protocols.ports import Message
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

LONGEST = 24 * 3600.0
"""No command may ask for more seconds than this."""
ADDRESSES = 4096
"""So many subjects, each of one instance and one caller, are remembered in their parts."""
FETCH_TIME = 30.0
"""Seconds for one large payload, unless whoever sent it has less."""
FETCHES = 32
"""How many large payloads are fetched at once."""


class CancelRequest(msgspec.Struct, frozen=True):
    """The payload of a `cancel`: the id of the command to stop."""

    id: str


class PolicyRequest(msgspec.Struct, frozen=True):
    """The payload of a `policy`: the key, in the bucket `policies`, of the decision that is asked about."""

    key: str


class Fetch(msgspec.Struct, eq=False):
    """A message whose large payload is being fetched; `withdrawn`: whoever sent it wants it no more."""

    inbound: Inbound
    withdrawn: bool = False


class Dispatch:
    """From the subject to the actor, the contract net, or the answer that refuses."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._exchange = peer.exchange
        self._subjects = peer.subjects
        self._breakers = BreakerControl(peer)
        self._fetching: dict[Fetch, asyncio.Task[None]] = {}
        self._address = lru_cache(ADDRESSES)(self._read_address)

    def on_rpc(self, message: Message) -> None:
        """Take one message. Never raises for what is in it."""
        try:
            rpc = self._address(message.subject)
        except InvalidName:
            self._count("bad-subject")
            return
        try:
            inbound = self._exchange.inbound(message, rpc.sender, agent=rpc.agent, instance=rpc.instance)
        except HostileReply as error:
            self._count("bad-reply-subject", sender=rpc.sender, message=str(error))
        except (BadEnvelope, VersionUnsupported) as error:
            self._unreadable(message, rpc, error)
        else:
            self._route_guarded(inbound)

    def _read_address(self, subject: str) -> Rpc:
        rpc = self._subjects.parse_rpc(subject)
        check_token(rpc.sender)
        return rpc

    def _route_guarded(self, inbound: Inbound) -> None:
        try:
            if inbound.envelope.ref is not None:
                self._fetch(inbound)
            elif inbound.envelope.kind == "command":
                self._command(inbound)
            else:
                self._route(inbound)
        except MeshError as error:
            self.refuse(inbound, error)

    def _route(self, inbound: Inbound) -> None:
        kind = inbound.envelope.kind
        if kind == "command":
            self._command(inbound)
        elif kind == "act":
            if self._peer.on_act is None:
                raise NotUnderstood("this process takes no part in the contract net")
            self._peer.on_act(inbound)
        elif kind == "control":
            self._control(inbound)
        else:
            raise NotUnderstood(f"a {kind} is not sent to an instance")

    def stop(self) -> None:
        """What is not whole yet is not begun any more: whoever sent it is told."""
        fetching, self._fetching = self._fetching, {}
        for fetch, task in fetching.items():
            task.cancel()
            self.refuse(fetch.inbound, self._peer.leaving())

    # -- commands

    def _command(self, inbound: Inbound) -> None:
        actor, envelope = self.actor(inbound), inbound.envelope
        handler = actor.definition.handlers.get(envelope.name)
        if handler is None:
            known = ", ".join(actor.definition.handlers) or "none"
            raise UnknownCommand(f"{actor.definition.name} has no command {envelope.name[:64]!r}; it has: {known}")
        seconds = handler.options.seconds if envelope.remaining is None else envelope.remaining
        deadline = Deadline.after(self._peer.clock, seconds if seconds < LONGEST else LONGEST)
        respond: Responder = NOBODY
        if inbound.token:
            respond = ReplyResponder(self._exchange, inbound, actor.sender, actor.definition.stamps)
        work = Work(envelope, handler, respond, deadline, inbound.sender)
        if self._peer.policy.limits:
            refused = partial(self.refuse, inbound)
            self._peer.rationing.enter(actor, work, lambda: actor.offer(work), refused)
        else:
            actor.offer(work)

    def actor(self, inbound: Inbound) -> Actor:
        """The instance the message is for.

        Raises:
            UnknownAgent: it is not here.
        """
        actor = self._peer.actors.get(f"{inbound.agent}.{inbound.instance}")
        if actor is None:
            raise UnknownAgent(f"no {inbound.agent}.{inbound.instance} in {self._peer.process}")
        return actor

    # -- control

    def _control(self, inbound: Inbound) -> None:
        name = inbound.envelope.name
        if name == "probe":
            self._reply(inbound, payload=self._probed(inbound))
        elif name == "cancel":
            self._reply(inbound, payload=msgspec.Raw(b"true" if self._cancel(inbound) else b"false"))
        elif name == "breakers":
            rows = self._breakers.answer(inbound.envelope.payload)
            self._reply(inbound, payload=msgspec.Raw(msgspec.json.encode(rows)))
        elif name == "policy":
            self._reply(inbound, payload=self._policy(inbound))
        else:
            raise NotUnderstood(f"unknown control message {name[:64]!r}: there are probe, cancel, breakers and policy")

    def _probed(self, inbound: Inbound) -> msgspec.Raw:
        actor = self._peer.actors.get(f"{inbound.agent}.{inbound.instance}")
        peer = self._peer
        about: dict[str, Any] = {"process": peer.process, "incarnation": peer.identity.incarnation}
        about["counts"] = peer.counts + peer.exchange.counts
        if actor is not None:
            about |= {"state": actor.state, "figures": actor.figures()}
        return msgspec.Raw(msgspec.json.encode(about))

    def _policy(self, inbound: Inbound) -> msgspec.Raw:
        """By which revision of a decision this process goes; 0: it knows of none."""
        try:
            asked = msgspec.json.decode(inbound.envelope.payload, type=PolicyRequest)
        except msgspec.MsgspecError as error:
            raise BadEnvelope(f"a policy question carries the key of a decision: {error}") from None
        return msgspec.Raw(msgspec.json.encode({"revision": self._peer.policy.revision(asked.key)}))

    def _cancel(self, inbound: Inbound) -> bool:
        try:
            request = msgspec.json.decode(inbound.envelope.payload, type=CancelRequest)
        except msgspec.MsgspecError as error:
            raise BadEnvelope(f"a cancel carries the id of a command: {error}") from None
        there = self.actor(inbound).cancel(request.id, inbound.sender)
        return (
            there
            or self._peer.rationing.withdraw(request.id, inbound.sender)
            or self._withdraw(request.id, inbound.sender)
        )

    def _withdraw(self, message_id: str, requester: str) -> bool:
        """The same for a command that is not whole yet."""
        for fetch in self._fetching:
            if fetch.inbound.envelope.id == message_id and fetch.inbound.sender == requester:
                fetch.withdrawn = True
                return True
        return False

    # -- refusals

    def refuse(self, inbound: Inbound, error: MeshError) -> None:
        """Answer with the error, and count it; a message that wants no answer is only counted."""
        error.detail.setdefault("begun", False)
        self._count(error.code, agent=inbound.agent, sender=inbound.sender, message=error.message)
        self._reply(inbound, fault=error.fault(self._peer.process))

    def _reply(self, inbound: Inbound, **parts: Any) -> None:
        sender = Sender(inbound.agent, inbound.instance, self._peer.process)
        try:
            self._exchange.respond_now(inbound, answer(inbound, sender, self._peer.ids.uuid(), **parts))
        except MeshError as error:
            self._count("unanswered", error=error.code)

    def _unreadable(self, message: Message, rpc: Rpc, error: BadEnvelope | VersionUnsupported) -> None:
        """The reply subject was checked before the envelope was read: the sender it pins gets its answer."""
        nothing = Envelope(v=VERSION, id="", kind="command", name="", sender=Sender("", "", rpc.sender), correlation="")
        token = self._exchange.reply_token(message, rpc.sender)
        self.refuse(
            Inbound(envelope=nothing, sender=rpc.sender, token=token, agent=rpc.agent, instance=rpc.instance), error
        )

    # -- large payloads

    def _fetch(self, inbound: Inbound) -> None:
        if len(self._fetching) >= FETCHES:
            raise self._peer.overloaded(f"{FETCHES} large payloads are being fetched already")
        fetch = Fetch(inbound)
        self._fetching[fetch] = self._peer.spawn(self._fetched(fetch), "fetch")

    async def _fetched(self, fetch: Fetch) -> None:
        inbound, clock = fetch.inbound, self._peer.clock
        given = inbound.envelope.remaining
        began, seconds = clock.monotonic(), FETCH_TIME if given is None else min(given, FETCH_TIME)
        try:
            async with Deadline(clock, began + seconds).enforce("fetching the payload"):
                whole = await self._exchange.payloads.whole(inbound.envelope)
            if fetch.withdrawn:
                raise Cancelled("the caller cancelled it")
            left = None if given is None else max(0.0, given - (clock.monotonic() - began))
            self._route(msgspec.structs.replace(inbound, envelope=msgspec.structs.replace(whole, remaining=left)))
        except MeshError as error:
            if isinstance(error, DeadlineExceeded):
                self._count("expired", agent=inbound.agent, where="fetch")
            self.refuse(inbound, error)
        finally:
            self._fetching.pop(fetch, None)

    def _count(self, what: str, **about: Any) -> None:
        self._peer.count(what, **about)
