"""One client's `Bus` over the simulated network. What it knows of the server it knows from what arrives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from mesh.protocols.errors import MeshError, NoResponders, Overloaded, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Clock, Headers, Ids, Message, Subscription
from mesh.transport.listeners import Background, Listeners, call_message_handler
from mesh.transport.matching import check_pattern, check_subject
from mesh.transport.memory.wakers import Wakers
from tests.simulation.network import Network, Wire

PENDING_LIMIT = 16 * 1024 * 1024
FAILED = (MeshError, KeyError)
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0


class SimulatedSubscription(Subscription):
    """A running subscription of one client."""

    def __init__(
        self, bus: SimulatedBus, number: int, subject: str, queue: str, handler: Callable[[Message], None]
    ) -> None:
        self._bus = bus
        self.number = number
        self.subject = subject
        self.queue = queue
        self.handler = handler
        self.open = True

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        if self.open:
            self.open = False
            self._bus.forget(self.number)


class SimulatedBus:
    """A client's connection, over as many wires as it takes, one after the other."""

    def __init__(self, network: Network, name: str, clock: Clock, ids: Ids) -> None:
        self.name = name
        self.clock = clock
        self.ids = ids
        self.closed = False
        self.background = Background()
        self._network = network
        self._context = copy_context()
        self._wire: Wire | None = None
        self._identity = ("", 0)
        self._numbers = 0
        self._subscriptions: dict[int, SimulatedSubscription] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._late: set[int] = set()
        self._hearers: dict[int, Callable[[Any], None]] = {}
        """Who hears what is pushed or pulled under a number; gone with the connection."""
        self._requests: dict[str, asyncio.Future[Message]] = {}
        self._unsent: deque[Message] = deque()
        self._unsent_bytes = 0
        self._inbox = f"_INBOX.{ids.token()}"
        self._asked = 0
        self._failures = 0
        self._reconnected = Listeners("reconnect", self.background)
        self._disconnected = Listeners("disconnect", self.background)
        self._wakers = Wakers()
        self._open_wire()

    @property
    def connected(self) -> bool:
        """Whether the server is reachable, as far as this client knows."""
        return self._wire is not None and not self.closed

    @property
    def client(self) -> tuple[str, int]:
        """(server id, client id) of the present connection."""
        return self._identity

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have."""
        return self._network.server.max_payload

    # -- the port

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message over; while the server is away it waits."""
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
        if self._wire is not None:
            self._wire.up.send("pub", message)
        else:
            self._hold(message)

    async def subscribe(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Hear messages; the server knows of it when this returns."""
        check_pattern(subject)
        self.check_connected()
        subscription = SimulatedSubscription(self, self.number(), subject, queue, handler)
        self._subscriptions[subscription.number] = subscription
        self.tell("sub", subscription.number, subject, queue)
        try:
            await self.flush()
        except BaseException:
            await subscription.close()
            raise
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
        await self.ask("ping", timeout=timeout, what="a flush")

    def on_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this after every reconnect."""
        self._reconnected.add(callback)

    def off_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Do not call it any more."""
        self._reconnected.remove(callback)

    def on_disconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this whenever the connection is lost."""
        self._disconnected.add(callback)

    async def close(self) -> None:
        """Leave the server. Again: nothing happens."""
        if self.closed:
            return
        self.closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            self._network.leave(wire, politely=True)
        self._drop_everything()
        self._wakers.wake()
        await self.background.close()

    def die(self) -> None:
        """Its process was killed: the kernel closes the connection, and not all that was said is heard."""
        self.closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            self._network.leave(wire, politely=False)

    # -- for this client's store

    def check_open(self) -> None:
        """Raises Unavailable once the connection is closed for good."""
        if self.closed:
            raise Unavailable("the connection is closed; connect again", detail={"sent": False})

    def check_connected(self) -> None:
        """Raises Unavailable while no server is reachable."""
        self.check_open()
        if self._wire is None:
            raise Unavailable("the server is out of reach; the connection keeps trying", detail={"sent": False})

    def number(self) -> int:
        """A new one, for what is asked."""
        self._numbers += 1
        return self._numbers

    def tell(self, verb: str, *arguments: Any) -> None:
        """Say something to the server, if there is one."""
        if self._wire is not None:
            self._wire.up.send(verb, *arguments)
            self._network.on_word(self.name, verb)

    async def ask(self, verb: str, *arguments: Any, timeout: float = 5.0, what: str = "", number: int = 0) -> Any:
        """Ask the server, and wait for its answer.

        Raises:
            TimedOut: none within `timeout` seconds. Unavailable: the connection is away, or was lost meanwhile.
        """
        self.check_connected()
        number = number or self.number()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._answers[number] = answer
        self.tell(verb, number, *arguments)
        timer = loop.call_later(timeout, self._too_late, number)
        try:
            outcome = await answer
        finally:
            timer.cancel()
            self._answers.pop(number, None)
        if number in self._late:
            self._late.remove(number)
            raise TimedOut(f"no answer to {what or verb} within {timeout:g} s")
        if isinstance(outcome, FAILED):
            raise outcome
        return outcome

    def hear(self, number: int, hearer: Callable[[Any], None]) -> None:
        """Hand it what comes under this number, until `leave` or the end of the connection."""
        self._hearers[number] = hearer

    def leave(self, number: int) -> None:
        """What comes under this number is wanted no more."""
        if self._hearers.pop(number, None) is not None:
            self.tell("leave", number)

    def forget(self, number: int) -> None:
        """A subscription is over."""
        if self._subscriptions.pop(number, None) is not None:
            self.tell("unsub", number)

    def waking(self, event: asyncio.Event) -> None:
        """Set the event whenever the connection is lost, back, or closed for good."""
        self._wakers.add(event)

    def not_waking(self, event: asyncio.Event) -> None:
        """Leave the event alone. Again: nothing happens."""
        self._wakers.discard(event)

    # -- the wire

    def _open_wire(self) -> None:
        """Try to connect; when nobody answers, again after a while."""
        if self.closed or self._wire is not None:
            return
        wire = self._network.open(self.name, self._context, self._heard, self._lost)
        if wire is None:
            self._failures += 1
            longest = min(RETRY_LONGEST, RETRY_FIRST * 2 ** min(self._failures, 10))
            self._later(self._network.random.uniform(0.0, longest) + self._network.delay(), self._open_wire)
            return
        first = self._identity == ("", 0)
        self._failures = 0
        self._wire = wire
        self._identity = (wire.session.server_id, wire.session.client)
        wire.up.send("sub", 0, f"{self._inbox}.*", "")
        for each in self._subscriptions.values():
            wire.up.send("sub", each.number, each.subject, each.queue)
        while self._unsent:
            wire.up.send("pub", self._unsent.popleft())
        self._unsent_bytes = 0
        if not first:
            self._reconnected.fire()
            self._wakers.wake()

    def _lost(self) -> None:
        """The connection is gone, as this end has noticed now."""
        if self.closed:
            return
        self._wire = None
        self._drop_everything()
        self._disconnected.fire()
        self._wakers.wake()
        self._later(self._network.random.uniform(0.0, RETRY_FIRST) + self._network.delay(), self._open_wire)

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, work, context=self._context)

    def _heard(self, verb: str, number: int, item: Any) -> None:
        """A frame from the server."""
        if self.closed:
            return
        if verb == "msg":
            if number == 0:
                self._answered(item)
            elif (subscription := self._subscriptions.get(number)) is not None:
                call_message_handler(subscription.handler, item)
        elif verb == "answer":
            answer = self._answers.get(number)
            if answer is not None and not answer.done():
                answer.set_result(item)
        elif (hearer := self._hearers.get(number)) is not None:
            hearer(item)

    def _too_late(self, number: int) -> None:
        """An answer that comes now is late, even one that lies there and has not been looked at."""
        self._late.add(number)
        answer = self._answers[number]
        if not answer.done():
            answer.set_result(None)

    def _answered(self, message: Message) -> None:
        future = self._requests.get(message.subject)
        if future is not None and not future.done():
            future.set_result(message)

    def _hold(self, message: Message) -> None:
        size = len(message.subject) + len(message.data)
        if self._unsent_bytes + size > PENDING_LIMIT:
            raise Overloaded(f"{self._unsent_bytes} bytes wait for the server already", retry_after=1.0)
        self._unsent_bytes += size
        self._unsent.append(message)

    def _drop_everything(self) -> None:
        self._hearers.clear()
        for future in (*self._requests.values(), *self._answers.values()):
            if not future.done():
                future.set_exception(Unavailable("the connection was lost meanwhile", detail={"sent": True}))

    def _is_connected(self) -> bool:
        self.check_open()
        return self._wire is not None
