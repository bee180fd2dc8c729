"""`Exchange`: asking and answering over one reply subscription a process.

A message that wants an answer goes out with `rep.<me>.<responder>.<token>` as its reply subject. Who answers builds that
subject anew from the sender that the rpc or cfp subject pins (`respond`), and answers nothing else. Answers are matched by
token, and heard only from the process that was asked.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import cast

import msgspec

from mesh.actors.exchanging.conversation import Conversation
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.exchanging.payloads import Payloads
from mesh.actors.exchanging.waiters import Ask, Direct, Heard, Waiter
from mesh.protocols.envelope import Envelope, decode, encode
from mesh.protocols.errors import (
    AgentLost,
    BadEnvelope,
    InvalidName,
    MeshError,
    NoResponders,
    VersionUnsupported,
    from_fault,
)
from mesh.protocols.naming.calls import ANYONE
from mesh.protocols.naming.names import check_token
from mesh.protocols.ports import Bus, Clock, Ids, Message, Subscription
from mesh.protocols.references import LIMIT
from mesh.protocols.subjects import Subjects
from mesh.resilience.alarms import Alarms, alarms
from mesh.resilience.deadline import Deadline

ROOTS = 10_000


class HostileReply(Exception):
    """A message asks for its answer on a subject that its sender has no claim to: it cannot be answered at all."""


class Exchange:
    """The reply side of one process. `counts` tells what was dropped, and why."""

    def __init__(self, bus: Bus, subjects: Subjects, process: str, clock: Clock, ids: Ids, payloads: Payloads) -> None:
        self.bus = bus
        self.subjects = subjects
        self.process = process
        self.clock = clock
        self.ids = ids
        self.payloads = payloads
        self.counts: Counter[str] = Counter()
        self._waiting: dict[str, Waiter] = {}
        self._subscription: Subscription | None = None
        self._alarms: Alarms | None = None
        self._roots: dict[tuple[str, str], str] = {}

    async def start(self) -> None:
        """Hear replies. Again: nothing happens."""
        if self._subscription is None:
            self._subscription = await self.bus.subscribe(self.subjects.reply_inbox(self.process), self._on_reply)

    async def stop(self, reason: MeshError) -> None:
        """Hear no more; everyone who still waits gets `reason`."""
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
        for waiting in list(self._waiting.values()):
            waiting.failed(reason)

    async def ask(
        self,
        subject: str,
        envelope: Envelope,
        *,
        deadline: Deadline,
        responder: str = "",
        on_part: Heard | None = None,
        inactivity: float | None = None,
    ) -> Envelope:
        """Send a message and wait for its reply. Again: sent again, the receiver sees a second message.

        `responder` is the process that is asked (taken from an rpc subject by itself). `on_part` sees items and
        progress on the way; `inactivity` is how many seconds may pass without one.

        Raises:
            NoResponders: at once, nobody listens. TimedOut: no reply by the deadline; nothing is known of the work.
            Any MeshError: the reply carries this fault.
        """
        responder = responder or self._responder(subject)
        ask = self.open(subject, envelope, deadline, responder, on_part, inactivity)
        try:
            if ask.unsent:
                await self.send(subject, envelope, reply=ask.reply)
            answer = await ask.future
        finally:
            self.close(ask)
        if answer.fault is not None:
            raise from_fault(answer.fault)
        if answer.ref is None:
            return answer
        async with deadline.enforce(f"fetching the answer to {envelope.name}"):
            return await self.payloads.whole(answer)

    async def connected(self, deadline: Deadline, what: object) -> None:
        """Wait until the server is in reach. What is said before that leaves with the next connection, and might be begun when nobody
        waits for it any more.

        Raises:
            DeadlineExceeded: it was out of reach for all the time there was. Unavailable: the connection is closed for good.
        """
        async with deadline.enforce(f"waiting for a server in reach ({what})"):
            await self.bus.until_connected()

    def open(
        self,
        subject: str,
        envelope: Envelope,
        deadline: Deadline,
        responder: str,
        on_part: Heard | None = None,
        inactivity: float | None = None,
    ) -> Ask:
        """The first part of `ask`: the reply will be in the ask's `future`, until `close`.

        A large message is `unsent`: it takes a `send`, which waits for the object store.
        """
        token = self.ids.token()
        reply = self._reply(self.process, responder) + token
        here = self._alarms = self._alarms or alarms()
        data = encode(envelope)
        if len(data) <= LIMIT:
            self.bus.publish(subject, data, reply=reply)
        ask = self._waiting[token] = Ask(here, token, reply, deadline, responder, on_part, inactivity)
        ask.unsent = len(data) > LIMIT
        return ask

    def close(self, ask: Ask) -> None:
        """Wait no more for its reply. Again: nothing happens."""
        ask.alarm.cancel()
        self._waiting.pop(ask.token, None)

    async def converse(
        self, subject: str, envelope: Envelope, *, deadline: Deadline, responder: str = ""
    ) -> Conversation:
        """Send a message and hear every answer until `deadline` or `close`. Faults are left on the envelopes.

        The conversation raises NoResponders at its first read if nobody listens.
        """
        token, responder = self.ids.token(), responder or self._responder(subject)
        conversation = Conversation(token, responder, deadline, self.forget, self._whole)
        self._waiting[token] = conversation
        try:
            await self.send(subject, envelope, reply=self._reply(self.process, responder) + token)
        except BaseException:
            conversation.close()
            raise
        return conversation

    def expect(self, waiter: Direct) -> str:
        """Hand `waiter` every answer to the token returned, until `forget`: for exchanges that are more than one answer.

        `waiter.reply` is the subject to ask for answers on from now on.
        """
        token = self.ids.token()
        waiter.reply = self._reply(self.process, waiter.responder) + token
        self._waiting[token] = waiter
        return token

    def forget(self, token: str) -> None:
        """Expect no more answers to this token. Again: nothing happens."""
        self._waiting.pop(token, None)

    def lost(self, process: str, why: str) -> None:
        """A process is gone: whoever asked it something need not wait for the deadline.

        It may have done the work all the same; nothing is repeated because of this that is not safe to repeat.
        """
        for waiter in list(self._waiting.values()):
            if waiter.responder == process and isinstance(waiter, Ask | Conversation):
                waiter.failed(AgentLost(f"{process} is gone: {why}"))

    async def send(self, subject: str, envelope: Envelope, *, reply: str = "") -> None:
        """Publish a message, a large payload by reference; at most once, and nobody says whether it arrived.

        Raises:
            DeadlineExceeded: storing a large payload took all the time that the message has.
        """
        data = encode(envelope)
        if len(data) > LIMIT:
            data = await self._by_reference(envelope)
        self.bus.publish(subject, data, reply=reply)

    async def _by_reference(self, envelope: Envelope) -> bytes:
        """What is left of its time goes out with it."""
        if envelope.remaining is None:
            return encode(await self.payloads.by_reference(envelope))
        deadline = Deadline.after(self.clock, envelope.remaining)
        async with deadline.enforce(f"storing the payload of {envelope.name}"):
            stored = await self.payloads.by_reference(envelope)
        return encode(msgspec.structs.replace(stored, remaining=max(0.0, deadline.remaining())))

    async def respond(self, inbound: Inbound, envelope: Envelope) -> None:
        """Answer a message on the subject built from its pinned sender; nothing happens if no answer was asked for."""
        if not self.responded(inbound, envelope):
            await self.send(self._reply(inbound.sender, self.process) + inbound.token, envelope)

    def responded(self, inbound: Inbound, envelope: Envelope) -> bool:
        """`respond`, if the answer is small; False: it has to wait for the object store."""
        if inbound.token:
            data = encode(envelope)
            if len(data) > LIMIT:
                return False
            self.bus.publish(self._reply(inbound.sender, self.process) + inbound.token, data)
        return True

    def respond_now(self, inbound: Inbound, envelope: Envelope) -> None:
        """`respond` for small answers, from code that cannot wait.

        Raises:
            TooLarge: it would have to go by reference.
        """
        if inbound.token:
            self.bus.publish(self._reply(inbound.sender, self.process) + inbound.token, encode(envelope))

    def inbound(self, message: Message, sender: str, **parts: str) -> Inbound:
        """A message to this process, checked; `sender` is the process token its subject pins.

        Raises:
            HostileReply: its reply subject is not one that `sender` may ask answers on; there is no way to answer.
            BadEnvelope · VersionUnsupported: as `unreadable` answers it.
        """
        token = self.reply_token(message, sender)
        envelope = decode(message.data)
        if envelope.sender.process != sender:
            raise BadEnvelope(f"the envelope names process {envelope.sender.process[:64]!r}, its subject {sender!r}")
        return Inbound(envelope=envelope, sender=sender, token=token, data=message.data, **parts)

    def reply_token(self, message: Message, sender: str) -> str:
        """The token to answer on, empty when no answer is asked for.

        Raises:
            HostileReply: the reply subject is outside of the rules.
        """
        if not message.reply:
            return ""
        root = self._reply(sender, self.process)
        try:
            if message.reply.startswith(root):
                return check_token(message.reply[len(root) :])
            reply = self.subjects.parse_reply(message.reply)
            check_token(reply.token)
        except InvalidName as error:
            raise HostileReply(str(error)) from None
        if reply.requester != sender or reply.responder not in (ANYONE, self.process):
            raise HostileReply(f"{sender} may not ask for answers on {message.reply!r}")
        return reply.token

    def _reply(self, requester: str, responder: str) -> str:
        """The reply subject but for its token, which is ours or was checked when it came."""
        root = self._roots.get((requester, responder))
        if root is None:
            if len(self._roots) >= ROOTS:
                self._roots.clear()
            root = self._roots[requester, responder] = self.subjects.reply_root(requester, responder)
        return root

    def _on_reply(self, message: Message) -> None:
        """The common case first: an answer on the very subject that was given with the question."""
        subject = message.subject
        waiting = self._waiting.get(subject[subject.rfind(".") + 1 :])
        if waiting is not None and waiting.reply == subject and message.headers is None:
            self._hear_directly(cast(Direct, waiting), message)
        else:
            self._on_any_reply(message)

    def _hear_directly(self, ask: Direct, message: Message) -> None:
        try:
            envelope = decode(message.data)
        except (BadEnvelope, VersionUnsupported) as error:
            self.counts["unreadable"] += 1
            ask.failed(error)
            return
        if envelope.sender.process == ask.responder:
            ask.answered(envelope)
        else:
            self.counts["forged"] += 1

    def _on_any_reply(self, message: Message) -> None:
        try:
            requester, responder, token = self.subjects.parse_reply(message.subject)
        except InvalidName:
            self.counts["bad-subject"] += 1
            return
        waiting = self._waiting.get(token)
        if waiting is None or requester != self.process:
            self.counts["late"] += 1
        elif waiting.responder != responder and (message.no_responders or waiting.responder != ANYONE):
            self.counts["forged"] += 1
        elif message.no_responders:
            waiting.failed(NoResponders(f"nobody listens for what was asked of {responder}", detail={"begun": False}))
        else:
            self._hear(waiting, message, responder, token)

    def _hear(self, waiting: Waiter, message: Message, responder: str, token: str) -> None:
        try:
            envelope = decode(message.data)
        except (BadEnvelope, VersionUnsupported) as error:
            self.counts["unreadable"] += 1
            if waiting.responder == responder:
                waiting.failed(error)
            return
        if envelope.sender.process != responder:
            self.counts["forged"] += 1
            return
        waiting.heard(Inbound(envelope=envelope, sender=responder, token=token, data=message.data))

    async def _whole(self, inbound: Inbound) -> Inbound:
        return msgspec.structs.replace(inbound, envelope=await self.payloads.whole(inbound.envelope))

    def _responder(self, subject: str) -> str:
        with contextlib.suppress(InvalidName):
            return self.subjects.parse_rpc(subject).process
        return ANYONE
