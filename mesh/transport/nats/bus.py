"""`Bus` over a real server."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable

from mesh.protocols.errors import MeshError, Overloaded, Refused, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Clock, Headers, Ids, Message, Subscription
from mesh.settings.target import ServerTarget
from mesh.transport.listeners import Background, Listeners
from mesh.transport.matching import check_pattern, check_subject
from mesh.transport.nats.frames import encode_headers
from mesh.transport.nats.guard import make_wire
from mesh.transport.nats.parser import Receiver
from mesh.transport.nats.replies import Replies
from mesh.transport.nats.subscriptions import NatsSubscription, Subscriptions
from mesh.transport.nats.wire import Told

log = logging.getLogger("mesh.transport")

PENDING_LIMIT = 16 * 1024 * 1024
"""Bytes that may wait while the server is away or slow."""
CLOSE_WITHIN = 2.0
_DENIAL = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class NatsBus:
    """A connection to a server. It reconnects for as long as it takes; `close` is the only end."""

    def __init__(self, clock: Clock, ids: Ids, inbox_prefix: str, wire: str | None = None) -> None:
        self.clock = clock
        self.ids = ids
        self.background = Background()
        told = Told(lost=self._on_lost, back=self._on_back, denied=self._on_denied, slow=self._on_slow)
        self._wire = make_wire(told, wire)
        self._subscriptions = Subscriptions(self._wire)
        self._replies = Replies(f"{inbox_prefix}.{ids.uuid().replace('-', '')}")
        self._closed = False
        self.slow_consumer = 0
        """How often the server had more for us than we took, and let us feel it."""
        self._denials: set[str] = set()
        self._up = asyncio.Event()
        self._reconnected = Listeners("reconnect", self.background)
        self._disconnected = Listeners("disconnect", self.background)
        self._ended = Listeners("close", self.background)

    @classmethod
    async def connect(
        cls, target: ServerTarget, *, name: str, clock: Clock, ids: Ids, timeout: float, wire: str | None = None
    ) -> NatsBus:
        """A connected bus, on the wire of that name (see `guard`).

        Raises:
            Unavailable: no server, or it refused us.
        """
        bus = cls(clock, ids, target.inbox_prefix or "_INBOX", wire)
        try:
            await bus._wire.dial(target, name, ids.random, timeout)
        except BaseException:
            await bus._wire.close()
            raise
        bus._wire.listen(f"{bus._replies.inbox}.*", "", bus._replies.receive)
        bus._up.set()
        return bus

    @property
    def connected(self) -> bool:
        """Whether a server is reachable right now."""
        return self._wire.connected and not self._closed

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def client(self) -> tuple[str, int]:
        """(server id, client id) of the present connection."""
        return self._wire.identity

    @property
    def cluster(self) -> str:
        """The name of the cluster that the server belongs to; empty where it stands alone."""
        return self._wire.cluster

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have."""
        return self._wire.max_payload

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message to the connection: it is written in this turn of the loop, or after the next reconnect."""
        if self._closed:
            raise Unavailable("the connection is closed; connect again")
        target, answer = check_subject(subject), check_subject(reply) if reply else b""
        self._send(target, answer, encode_headers(headers) if headers else b"", data)

    async def subscribe(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Hear messages; the server knows of it when this returns.

        Raises:
            Refused: this connection has no permission to subscribe to it.
            TimedOut · Unavailable: the server could not be told.
        """
        self.check_connected()
        subscription = self._subscriptions.add(check_pattern(subject), check_pattern(queue) if queue else "", handler)
        self._denials.discard(subject.lower())
        try:
            await self.flush()
        except BaseException:
            subscription.stop()
            raise
        if subject.lower() in self._denials:
            subscription.stop()
            raise Refused(f"no permission to subscribe to {subject}", detail={"reason": "permissions"})
        return subscription

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> Message:
        """Ask with a private reply subject. `Unavailable.detail["sent"]` says whether the question may have arrived."""
        return await self.ask(subject, data, timeout=timeout, block=encode_headers(headers) if headers else b"")

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until the server has taken everything published so far."""
        self.check_connected()
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._wire.ping(pong)
        try:
            async with asyncio.timeout(timeout):
                await pong
        except TimeoutError:
            raise TimedOut(f"the server did not take everything within {timeout:g} s") from None

    def on_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this after every reconnect, once subscriptions are there again."""
        self._reconnected.add(callback)

    def on_disconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this whenever the connection is lost."""
        self._disconnected.add(callback)

    async def close(self) -> None:
        """Flush what can be flushed, then close, also where that is cancelled meanwhile. Again: nothing happens."""
        if self._closed:
            return
        try:
            await self._last_flush()
        finally:
            await self._end()

    # -- for the store over this bus

    def ask(self, subject: str, data: bytes, *, timeout: float, block: bytes = b"") -> asyncio.Future[Message]:
        """What `request` does, at once: the question is sent, and this is the future of its answer.

        It fails by itself as `request` does; who does not want the answer any more cancels it. `block` is a header block
        as `encode_headers` makes it.
        """
        if self._closed or not self._wire.connected:
            self.check_connected()
        target = check_subject(subject)
        reply, answer = self._replies.ask(subject, timeout)
        try:
            self._send(target, reply, block, data)
        except MeshError:
            answer.cancel()
            raise
        return answer

    def off_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Do not call it any more."""
        self._reconnected.remove(callback)

    def off_disconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Do not call it any more."""
        self._disconnected.remove(callback)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call this when the connection is closed for good."""
        self._ended.add(callback)

    def off_close(self, callback: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._ended.remove(callback)

    def listen(self, subject: str, handler: Callable[[Message], None]) -> NatsSubscription:
        """Subscribe without waiting: the server knows before anything that is published after this."""
        return self._subscriptions.add(subject, "", handler)

    def receive(self, subject: str, receiver: Receiver) -> NatsSubscription:
        """`listen`, for who takes apart himself what arrives. `receiver` must not raise, and is told of 503s as they come."""
        return self._subscriptions.receive(subject, receiver)

    def answer(self, subjects: Iterable[bytes], data: bytes) -> None:
        """Publish the same to each of these subjects, which came from the server and so need no check. Never refused: they are
        few and small, whatever else waits."""
        for subject in subjects:
            self._wire.publish(subject, b"", b"", data)

    def converse(self, handler: Callable[[Message], None]) -> str:
        """A private reply subject for any number of answers, until `hang_up`."""
        return self._replies.converse(handler)

    def hang_up(self, reply: str) -> None:
        """Hear no more answers there."""
        self._replies.hang_up(reply)

    def inbox(self) -> str:
        """A new private subject, apart from the one all answers share."""
        return f"{self._replies.inbox}.feed.{self.ids.token()}"

    async def until_connected(self) -> None:
        """Wait for as long as it takes.

        Raises:
            Unavailable: the connection is closed for good.
        """
        await self._up.wait()
        self.check_open()

    def check_open(self) -> None:
        """Raises Unavailable once the connection is closed for good."""
        if self._closed:
            raise Unavailable("the connection is closed; connect again", detail={"sent": False})

    def check_connected(self) -> None:
        """Raises Unavailable while no server is reachable."""
        self.check_open()
        if not self._wire.connected:
            raise Unavailable("the server is out of reach; the connection keeps trying", detail={"sent": False})

    # -- inside

    async def _last_flush(self) -> None:
        if self.connected:
            try:
                await self.flush(CLOSE_WITHIN)
            except (TimedOut, Unavailable) as error:
                log.warning("closing without a last flush: %s", error)

    async def _end(self) -> None:
        self._closed = True
        self._up.set()
        self._ended.fire()
        self._replies.fail_all(lambda subject: Unavailable(f"closed while {subject} was asked", detail={"sent": True}))
        try:
            await self.background.close()
        finally:
            await self._wire.close()

    def _send(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        wire, size = self._wire, len(block) + len(data)
        if size > wire.max_payload:
            raise TooLarge(
                f"{size} bytes to {subject.decode()}, {wire.max_payload} are allowed",
                detail={"size": size, "limit": wire.max_payload},
            )
        if wire.waiting + size > PENDING_LIMIT:
            raise Overloaded(f"{wire.waiting} bytes wait for the server already", retry_after=1.0)
        wire.publish(subject, reply, block, data)

    def _on_lost(self) -> None:
        if not self._closed:  # who waits then hears of that, however late the loss is told
            self._up.clear()
        self._replies.fail_all(
            lambda s: Unavailable(f"the connection was lost while {s} was asked", detail={"sent": True})
        )
        self._disconnected.fire()

    def _on_back(self) -> None:
        log.info("connected again to %s", self.client[0])
        self._up.set()
        self._reconnected.fire()

    def _on_slow(self, words: str) -> None:
        self.slow_consumer += 1
        log.error("slow consumer: %s; messages were lost. Do less in handlers, or take fewer subjects", words)

    def _on_denied(self, words: str) -> None:
        log.error("the server refuses a subject to this connection: %s", words)
        found = _DENIAL.search(words)
        if found is None:
            return
        if found[1] == "subscription":
            self._denials.add(found[2])
        else:
            self._replies.fail_subject(
                found[2], Refused(f"no permission to publish to {found[2]}", detail={"reason": "permissions"})
            )
