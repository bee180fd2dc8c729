"""`Consumer` over a real server: pulls of one message each, made anew when a connection or a server goes.

A pull whose caller has gone is abandoned together with the inbox it answers to. A message that was on its way by then is
kept for the next caller for a moment, and then given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

import msgspec

from mesh.protocols.errors import MeshError, Unavailable
from mesh.protocols.ports import Message, Stored
from mesh.transport.nats.api import NANOSECONDS, PREFIX, call
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.stored import Position, from_delivery, position, status

log = logging.getLogger("mesh.transport")

PULL_FOR = 30.0
"""Seconds a pull stays open at most."""
HEARTBEAT = 2.0
SILENCE = 5.0
RETRY = 0.25
KEEP = 1.0
"""Seconds a message waits here for a caller before it goes back to the server."""
MARGIN = 0.05
"""Seconds by which a pull ends before its caller's patience: a message must not arrive just too late."""
ACK_WITHIN = 5.0


class NatsDelivery:
    """One message given to us. Every answer is confirmed by the server, and may be given again."""

    def __init__(self, bus: NatsBus, message: Message, where: Position) -> None:
        self._bus = bus
        self._reply = message.reply
        self._stored = from_delivery(message, where)
        self._attempts = where.attempts

    @property
    def message(self) -> Stored:
        """What was stored."""
        return self._stored

    @property
    def attempts(self) -> int:
        """How many times it has been delivered, this one included."""
        return self._attempts

    async def ack(self) -> None:
        """It is done.

        Raises:
            TimedOut · Unavailable · NoResponders: the server may not know; then it comes again.
        """
        await self._say(b"+ACK")

    async def retry(self, after: float = 0.0) -> None:
        """Deliver it again, not before `after` seconds."""
        delay = b' {"delay": %d}' % int(after * NANOSECONDS) if after > 0 else b""
        await self._say(b"-NAK" + delay)

    async def give_up(self) -> None:
        """Never deliver it again."""
        await self._say(b"+TERM")

    async def working(self) -> None:
        """It takes longer: start its redelivery timer afresh."""
        await self._say(b"+WPI")

    async def _say(self, what: bytes) -> None:
        await self._bus.request(self._reply, what, timeout=ACK_WITHIN)


class _Pull:
    """One open pull request."""

    def __init__(self, reply: str, until: float, now: float) -> None:
        self.reply = reply
        self.until = until
        self.heard = now


class NatsConsumer:
    """A durable consumer, and this process's pulls on it."""

    def __init__(self, bus: NatsBus, stream: str, durable: str, config: dict[str, Any]) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._config = config
        self._waiting: dict[asyncio.Future[NatsDelivery], float] = {}
        self._kept: deque[NatsDelivery] = deque()
        self._pulls: dict[str, _Pull] = {}
        self._closed = False
        self._pulled = 0
        self._listen()
        self._repair: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        bus.on_reconnect(self._start_over)
        bus.on_close(self._fail_waiting)

    async def create(self) -> None:
        """Make the durable consumer, or bring it to this shape. Again: nothing happens."""
        verb = f"CONSUMER.CREATE.{self._stream}.{self._durable}"
        await call(self._bus, verb, {"stream_name": self._stream, "config": self._config, "action": ""})

    async def next(self, timeout: float) -> NatsDelivery | None:
        """The next message, or None when none came within `timeout` seconds."""
        self._check()
        if self._kept:
            return self._kept.popleft()
        place: asyncio.Future[NatsDelivery] = asyncio.get_running_loop().create_future()
        self._waiting[place] = self._bus.clock.monotonic() + timeout
        try:
            self._refill()
            async with asyncio.timeout(timeout):
                return await place
        except TimeoutError:
            return place.result() if place.done() and not place.cancelled() else None
        except asyncio.CancelledError:
            self._waiting.pop(place, None)
            self._abandon(place)
            raise
        finally:
            self._waiting.pop(place, None)
            place.cancel()

    async def close(self) -> None:
        """Stop pulling; what was kept goes back to the server. Again: nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._bus.off_reconnect(self._start_over)
        self._bus.off_close(self._fail_waiting)
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._pulls.clear()
        await self._subscription.close()
        self._fail_waiting()
        while self._kept:
            await self._give_back(self._kept.popleft())

    # -- pulls

    def _refill(self) -> None:
        """Have as many pulls open as callers wait, for as long as the most patient of them does."""
        now = self._bus.clock.monotonic()
        patience = max(self._waiting.values(), default=now) - now
        while len(self._pulls) < len(self._waiting) and patience > MARGIN / 2:
            if not self._bus.connected or self._closed:
                return
            self._pull(now, min(max(patience - MARGIN, patience / 2), PULL_FOR))
        self._watch()

    def _pull(self, now: float, expires: float) -> None:
        self._pulled += 1
        reply = f"{self._inbox}.{self._pulled}"
        request: dict[str, Any] = {"batch": 1, "expires": int(expires * NANOSECONDS)}
        if expires >= 2 * HEARTBEAT:
            request["idle_heartbeat"] = int(HEARTBEAT * NANOSECONDS)
        verb = f"{PREFIX}CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        self._bus.publish(verb, msgspec.json.encode(request), reply=reply)
        self._pulls[reply] = _Pull(reply, now + expires, now)

    def _hear(self, message: Message) -> None:
        """A message, under its own subject and so for any open pull; or what the server says of one pull."""
        code = status(message)
        pull = self._pulls.get(message.subject)
        if code == "100" and pull is not None:
            pull.heard = self._bus.clock.monotonic()
        elif not code:
            self._end(next(iter(self._pulls), ""))
            self._hand_out(NatsDelivery(self._bus, message, position(message.reply)))
        elif code == "408":
            self._end(message.subject)
            self._refill()
        elif code != "100":
            self._end(message.subject)
            self._repair_soon(f"{code} {(message.headers or {}).get('Description', '')}")

    def _hand_out(self, delivery: NatsDelivery) -> None:
        for place in list(self._waiting):
            del self._waiting[place]
            if not place.done():
                place.set_result(delivery)
                return
        self._keep(delivery)

    def _keep(self, delivery: NatsDelivery) -> None:
        self._kept.append(delivery)
        asyncio.get_running_loop().call_later(KEEP, self._return, delivery)

    def _return(self, delivery: NatsDelivery) -> None:
        if delivery in self._kept:
            self._kept.remove(delivery)
            self._bus.background.start(self._give_back(delivery), f"consumer {self._durable}")

    def _abandon(self, place: asyncio.Future[NatsDelivery]) -> None:
        """A caller was cancelled: the pull it leaves over must not take a message from somebody who wants it."""
        if place.done() and not place.cancelled() and place.exception() is None:
            self._keep(place.result())
        elif len(self._pulls) > len(self._waiting) and not self._closed:
            self._subscription.stop()
            self._listen()
            self._start_over()

    def _listen(self) -> None:
        """Have pulls answered to a new inbox: the server forgets those that ask for answers to the old one."""
        self._inbox = self._bus.inbox()
        self._subscription = self._bus.listen(f"{self._inbox}.*", self._hear)

    def _end(self, reply: str) -> None:
        self._pulls.pop(reply, None)

    def _start_over(self) -> None:
        """After a reconnect every open pull is gone."""
        self._pulls.clear()
        self._refill()

    # -- trouble

    def _repair_soon(self, why: str) -> None:
        if self._closed or (self._repair is not None and not self._repair.done()):
            return
        log.debug("pulls on %s of %s ended: %s", self._durable, self._stream, why)
        self._repair = self._bus.background.start(self._repair_now(), f"consumer {self._durable}")

    async def _repair_now(self) -> None:
        """The consumer moved, or is gone: make sure it is there, then pull again."""
        while not self._closed and self._waiting:
            await self._bus.until_connected()
            try:
                await self.create()
            except MeshError as error:
                log.info("the consumer %s of %s cannot be opened again yet: %s", self._durable, self._stream, error)
                await self._bus.clock.sleep(self._bus.ids.random.uniform(RETRY / 2, RETRY))
            else:
                break
        self._refill()

    def _watch(self) -> None:
        """Replace pulls that have gone silent or should have ended."""
        if self._watchdog is None and self._pulls and not self._closed:
            self._watchdog = asyncio.get_running_loop().call_later(1.0, self._inspect)

    def _inspect(self) -> None:
        self._watchdog = None
        now = self._bus.clock.monotonic()
        for pull in list(self._pulls.values()):
            if now > pull.until + 1.0 or now - pull.heard > SILENCE:
                self._end(pull.reply)
        self._refill()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for place in waiting:
            if not place.done():
                place.set_exception(Unavailable(f"the consumer {self._durable} of {self._stream} is closed here"))

    def _check(self) -> None:
        self._bus.check_open()
        if self._closed:
            raise Unavailable(f"the consumer {self._durable} of {self._stream} is closed here")

    async def _give_back(self, delivery: NatsDelivery) -> None:
        try:
            await delivery.retry()
        except MeshError as error:
            log.debug("could not give a message back; it comes again after its time: %s", error)
