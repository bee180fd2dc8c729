"""`Consumer` over a real server: pulls of one message each, made anew when a connection or a server goes.

A pull that is still open when its caller has gone may yet bring a message; it is kept for the next caller, for as long as
the server leaves it to us.
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
        self._ack_wait = config["ack_wait"] / NANOSECONDS
        self._waiting: deque[asyncio.Future[NatsDelivery]] = deque()
        self._kept: deque[tuple[float, NatsDelivery]] = deque()
        self._pulls: dict[str, _Pull] = {}
        self._closed = False
        self._inbox = bus.inbox()
        self._pulled = 0
        self._subscription = bus.listen(f"{self._inbox}.*", self._hear)
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
        kept = self._take_kept()
        if kept is not None:
            return kept
        place: asyncio.Future[NatsDelivery] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._pull_for(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await place
        except TimeoutError:
            return place.result() if place.done() and not place.cancelled() else None
        except asyncio.CancelledError:
            self._keep_from(place)
            raise
        finally:
            self._leave(place)

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
            await self._give_back(self._kept.popleft()[1])

    # -- pulls

    def _pull_for(self, timeout: float) -> None:
        """Have as many pulls open as callers wait."""
        if len(self._pulls) >= len(self._waiting) or not self._bus.connected or self._closed:
            return
        now = self._bus.clock.monotonic()
        expires = max(0.02, min(timeout, PULL_FOR))
        self._pulled += 1
        reply = f"{self._inbox}.{self._pulled}"
        self._pulls[reply] = _Pull(reply, now + expires, now)
        request: dict[str, Any] = {"batch": 1, "expires": int(expires * NANOSECONDS)}
        if expires >= 2 * HEARTBEAT:
            request["idle_heartbeat"] = int(HEARTBEAT * NANOSECONDS)
        self._bus.publish(
            f"{PREFIX}CONSUMER.MSG.NEXT.{self._stream}.{self._durable}", msgspec.json.encode(request), reply=reply
        )
        self._watch()

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
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(delivery)
                return
        self._kept.append((self._bus.clock.monotonic(), delivery))

    def _take_kept(self) -> NatsDelivery | None:
        """The oldest one kept that the server has not given to somebody else meanwhile."""
        while self._kept:
            since, delivery = self._kept.popleft()
            if self._bus.clock.monotonic() - since < self._ack_wait * 0.8:
                return delivery
        return None

    def _leave(self, place: asyncio.Future[NatsDelivery]) -> None:
        """A caller goes."""
        if place in self._waiting:
            self._waiting.remove(place)
        place.cancel()

    def _keep_from(self, place: asyncio.Future[NatsDelivery]) -> None:
        """What was put into a caller's hand in the moment it was cancelled is kept for the next one."""
        if place.done() and not place.cancelled() and place.exception() is None:
            self._kept.append((self._bus.clock.monotonic(), place.result()))

    def _end(self, reply: str) -> None:
        self._pulls.pop(reply, None)

    def _refill(self) -> None:
        while len(self._pulls) < len(self._waiting) and self._bus.connected and not self._closed:
            self._pull_for(PULL_FOR)

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
        self._watch()

    def _fail_waiting(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
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
