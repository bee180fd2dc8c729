"""One client's `Bus` on a memory server.

Everything goes through the client's own queue and is handed over in a later turn of the loop: a handler never runs inside
somebody's `publish`, just as on a real connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mesh.protocols.errors import NoResponders, Overloaded, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Headers, Message, Subscription
from mesh.transport.listeners import Background, Listeners, call_message_handler
from mesh.transport.matching import check_pattern, check_subject
from mesh.transport.memory.router import Interest
from mesh.transport.memory.wakers import Wakers

if TYPE_CHECKING:
    from mesh.transport.memory.server import MemoryServer

PENDING_LIMIT = 8 * 1024 * 1024
"""Bytes that may wait while the server is away."""


class MemorySubscription(Subscription):
    """A running subscription of one client."""

    def __init__(self, bus: MemoryBus, interest: Interest) -> None:
        self._bus = bus
        self.interest = interest
        self.open = True

    async def close(self) -> None:
        """Stop it; what is queued already is not handed over. Again: nothing happens."""
        if self.open:
            self.open = False
            self._bus.forget(self)


class MemoryBus:
    """A client's connection. `server.cut` and `server.restore` end it and bring it back."""

    def __init__(self, server: MemoryServer, name: str) -> None:
        self.name = name
        self.closed = False
        self.started = server.clock.now()
        self.background = Background()
        self._server = server
        self._identity = server.admit(self)
        self._connected = True
        self._subscriptions: list[MemorySubscription] = []
        self._arrived: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._unsent: deque[Message] = deque()
        self._unsent_bytes = 0
        self._requests: dict[str, asyncio.Future[Message]] = {}
        self._inbox = f"_INBOX.{server.ids.token()}"
        self._asked = 0
        self._reconnected = Listeners("reconnect", self.background)
        self._disconnected = Listeners("disconnect", self.background)
        self._ended = Listeners("close", self.background)
        self._wakers = Wakers()
        self._listen_for_answers()

    @property
    def connected(self) -> bool:
        """Whether the server is reachable right now."""
        return self._connected and not self.closed

    @property
    def client(self) -> tuple[str, int]:
        """(server id, client id) of the present connection."""
        return self._identity

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have."""
        return self._server.max_payload

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message over; while the server is away it waits, up to `PENDING_LIMIT` bytes."""
        self.check_open()
        check_subject(subject)
        if reply:
            check_subject(reply)
        if len(data) > self.max_payload:
            raise TooLarge(
                f"{len(data)} bytes to {subject}, {self.max_payload} are allowed",
                detail={"size": len(data), "limit": self.max_payload},
            )
        message = Message(subject, data, reply, dict(headers) if headers else None)
        if self._connected:
            self._server.route(message, self)
        else:
            self._hold(message)

    async def subscribe(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Hear messages; the server knows of it when this returns."""
        check_pattern(subject)
        await self.round_trip()
        subscription = self._interested(subject, handler, queue)
        self._server.router.add(subscription.interest)
        self._subscriptions.append(subscription)
        await self.round_trip()
        return subscription

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> Message:
        """Ask with a private reply subject."""
        self.check_connected()
        self._asked += 1
        reply = f"{self._inbox}.{self._asked}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._requests[reply] = answer
        try:
            self.publish(subject, data, reply=reply, headers=headers)
            async with asyncio.timeout(timeout):
                message = await answer
        except TimeoutError:
            raise TimedOut(f"no answer from {subject} within {timeout:g} s") from None
        finally:
            self._requests.pop(reply, None)
        if message.no_responders:
            raise NoResponders(f"nobody listens on {subject}")
        return message

    async def until_connected(self) -> None:
        """Wait for as long as it takes."""
        await self._wakers.until(self._is_connected)

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until the server has taken everything published so far."""
        try:
            async with asyncio.timeout(timeout):
                await self.round_trip()
        except TimeoutError:
            raise TimedOut(f"the server did not take everything within {timeout:g} s") from None

    def on_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this after every reconnect."""
        self._reconnected.add(callback)

    def on_disconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this whenever the connection is lost."""
        self._disconnected.add(callback)

    def off_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Do not call it any more."""
        self._reconnected.remove(callback)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call this when the connection is closed for good."""
        self._ended.add(callback)

    def off_close(self, callback: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._ended.remove(callback)

    async def close(self) -> None:
        """Leave the server. Again: nothing happens."""
        if self.closed:
            return
        self.end("Client Closed")
        await self.background.close()

    # -- for the server and for this client's store

    def check_open(self) -> None:
        """Raises Unavailable once the connection is closed for good."""
        if self.closed:
            raise Unavailable("the connection is closed; connect again")

    def check_connected(self) -> None:
        """Raises Unavailable while no server is reachable."""
        self.check_open()
        if not self._connected:
            raise Unavailable("the server is out of reach; the connection keeps trying", detail={"sent": False})

    async def round_trip(self) -> None:
        """Be to the server and back: takes the server's latency, and fails if the connection is gone meanwhile."""
        self.check_connected()
        epoch = self._identity
        await asyncio.sleep(self._server.latency)
        if self.closed or not self._connected or self._identity != epoch:
            raise Unavailable("the connection was lost meanwhile", detail={"sent": True})

    def arrive(self, handler: Callable[[Any], None], item: Any) -> None:
        """Something has come for one of this client's handlers; it runs in a later turn of the loop."""
        self._arrived.append((handler, item))
        if len(self._arrived) == 1:
            asyncio.get_running_loop().call_soon(self._hand_over)

    def lose(self) -> None:
        """The connection is gone: requests fail, what was on its way is lost, publishes wait from now on."""
        if not self._connected or self.closed:
            return
        self._connected = False
        self._drop_everything()
        self._disconnected.fire()
        self._wakers.wake()

    def regain(self) -> None:
        """The connection is back, under a new client id."""
        if self._connected or self.closed:
            return
        self._identity = self._server.admit(self)
        self._connected = True
        self._register_again()
        while self._unsent:
            self._server.route(self._unsent.popleft(), self)
        self._unsent_bytes = 0
        self._reconnected.fire()
        self._wakers.wake()

    def end(self, reason: str) -> None:
        """The client is gone for good, politely or not."""
        if self.closed:
            return
        was_connected, self._connected, self.closed = self._connected, False, True
        self._drop_everything()
        self._server.dismiss(self, reason if was_connected else "")
        self._wakers.wake()
        self._ended.fire()

    def waking(self, event: asyncio.Event) -> None:
        """Set the event whenever the connection is lost, back, or closed for good."""
        self._wakers.add(event)

    def not_waking(self, event: asyncio.Event) -> None:
        """Leave the event alone. Again: nothing happens."""
        self._wakers.discard(event)

    def forget(self, subscription: MemorySubscription) -> None:
        """The subscription is over."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        self._server.router.remove(subscription.interest)

    def hear_no_responders(self, message: Message) -> None:
        """Nobody listens where this client asked: the server answers 503 on the reply subject."""
        answer = Message(message.reply, b"", "", {"Status": "503"})
        for interest in self._server.router.receivers(message.reply):
            if interest.owner == self._identity[1]:
                interest.deliver(answer)

    def _is_connected(self) -> bool:
        self.check_open()
        return self._connected

    def _interested(self, subject: str, handler: Callable[[Message], None], queue: str) -> MemorySubscription:
        def deliver(message: Message) -> None:
            self.arrive(receive, message)

        def receive(message: Message) -> None:
            if subscription.open:
                call_message_handler(handler, message)

        subscription = MemorySubscription(self, Interest(self._identity[1], subject, queue, deliver))
        return subscription

    def _listen_for_answers(self) -> None:
        subscription = self._interested(f"{self._inbox}.*", self._answered, "")
        self._subscriptions.append(subscription)
        self._server.router.add(subscription.interest)

    def _answered(self, message: Message) -> None:
        future = self._requests.get(message.subject)
        if future is not None and not future.done():
            future.set_result(message)

    def _hand_over(self) -> None:
        batch, self._arrived = self._arrived, deque()
        for handler, item in batch:
            handler(item)

    def _hold(self, message: Message) -> None:
        size = len(message.subject) + len(message.data)
        if self._unsent_bytes + size > PENDING_LIMIT:
            raise Overloaded(f"{self._unsent_bytes} bytes wait for the server already", retry_after=1.0)
        self._unsent_bytes += size
        self._unsent.append(message)

    def _drop_everything(self) -> None:
        self._arrived.clear()
        for future in self._requests.values():
            if not future.done():
                future.set_exception(Unavailable("the connection was lost meanwhile", detail={"sent": True}))
        self._server.router.remove_owner(self._identity[1])

    def _register_again(self) -> None:
        for subscription in self._subscriptions:
            subscription.interest.owner = self._identity[1]
            self._server.router.add(subscription.interest)
