"""`Consumer` over a real server: overlapping pulls, made anew when a connection or a server goes.

    next() ──► what is in store ──► a place to wait at
                    ▲ messages              │ too little in store and on its way
                    └──────── lanes ◄───────┘ one open pull each

A pull whose caller has gone is left together with its lane. A message that was on its way by then is kept for the next
caller for a moment, and then given back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import Any

from mesh.protocols.errors import MeshError, Overloaded, TimedOut, Unavailable
from mesh.protocols.ports import Stored
from mesh.transport.nats.acks import Acks
from mesh.transport.nats.api import PREFIX, call, insist
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.delivery import NatsDelivery
from mesh.transport.nats.lane import Lane
from mesh.transport.nats.stored import Position
from mesh.transport.nats.window import Window

log = logging.getLogger("mesh.transport")

PULL_FOR = 30.0
"""Seconds a pull stays open at most."""
RETRY = 0.25
KEEP = 1.0
"""Seconds after which a message that nobody has asked for goes back to the server, and pulls that nobody waits for end."""
LOOK = 0.5
"""Seconds between two looks at what is open and in store."""
CLOSE_WITHIN = 1.0
MARGIN = 0.05
"""Seconds by which a pull ends before its caller's patience: a message must not arrive just too late."""


class NatsConsumer:
    """A durable consumer, and this process's pulls on it. With `prefetch` 1 there are never more than callers wait."""

    def __init__(self, bus: NatsBus, stream: str, durable: str, config: dict[str, Any], *, prefetch: int = 1) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._config = config
        self._verb = f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._acks = Acks(bus)
        self._window = Window(prefetch, bus.clock.monotonic())
        self._waiting: dict[asyncio.Future[NatsDelivery], float] = {}
        self._store: deque[tuple[NatsDelivery, float]] = deque()
        self._lanes: list[Lane] = []
        self._coming = 0
        self._called = 0.0
        self._asking = False
        self._closed = False
        self._repair: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        bus.on_reconnect(self._start_over)
        bus.on_close(self._fail_waiting)

    async def create(self) -> None:
        """Make the durable consumer, or bring it to this shape. Again: nothing happens."""
        verb = f"CONSUMER.CREATE.{self._stream}.{self._durable}"
        body = {"stream_name": self._stream, "config": self._config, "action": ""}
        await insist(self._bus, lambda: call(self._bus, verb, body))

    async def next(self, timeout: float) -> NatsDelivery | None:
        """The next message, or None when none came within `timeout` seconds."""
        self._check()
        self._called = self._bus.clock.monotonic()
        if self._store:
            self._window.take()
            delivery, _ = self._store.popleft()
            self._refill(timeout)
            return delivery
        return await self._wait(timeout)

    async def close(self) -> None:
        """Stop pulling; what nobody has looked at goes back to the server. Again: nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._bus.off_reconnect(self._start_over)
        self._bus.off_close(self._fail_waiting)
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._fail_waiting()
        self._leave_all()
        self._give_back(math.inf)
        try:
            await self._bus.flush(CLOSE_WITHIN)
        except (Unavailable, TimedOut) as error:
            log.debug("what was on its way to %s comes again after its time: %s", self._durable, error)

    async def _wait(self, timeout: float) -> NatsDelivery | None:
        place: asyncio.Future[NatsDelivery] = asyncio.get_running_loop().create_future()
        self._waiting[place] = self._called + timeout
        try:
            self._refill_soon()
            async with asyncio.timeout(timeout):
                return await place
        except TimeoutError:
            if place.done() and not place.cancelled():
                return place.result()
            self._gone(place)
            return None
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._keep(place.result())
            self._gone(place)
            raise
        finally:
            self._waiting.pop(place, None)
            place.cancel()

    # -- pulls

    def _refill_soon(self) -> None:
        """Ask at the end of this turn of the loop: one pull for all who have come in it."""
        if not self._asking:
            self._asking = True
            asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        self._asking = False
        self._refill(0.0)

    def _refill(self, patience: float) -> None:
        """Ask for more once half of what should be here and on its way is used up, or a caller would get nothing.

        A pull stays open for as long as the most patient caller does.
        """
        here, callers = len(self._store) + self._coming, len(self._waiting)
        if here > self._window.ahead // 2 and here >= callers:
            return
        now = self._bus.clock.monotonic()
        if callers:
            patience = max(self._waiting.values()) - now
        if patience <= MARGIN / 2 or self._closed or not self._bus.connected:
            return
        self._window.measure(now)
        wanted = max(self._window.ahead, callers) - here
        if wanted > 0:
            self._pull(wanted, min(max(patience - MARGIN, patience / 2), PULL_FOR))
        self._watch()

    def _pull(self, wanted: int, expires: float) -> None:
        try:
            self._free_lane().pull(self._verb, wanted, expires)
        except Overloaded as error:
            log.info("a pull on %s waits until it can be sent: %s", self._durable, error)
        else:
            self._coming += wanted

    def _free_lane(self) -> Lane:
        for lane in self._lanes:
            if not lane.left:
                return lane
        self._lanes.append(Lane(self._bus, self._arrived, self._ended))
        return self._lanes[-1]

    def _arrived(self, lane: Lane, where: Position, reply: bytes, stored: Stored) -> None:
        if lane.left:
            lane.left -= 1
            self._coming -= 1
        delivery = NatsDelivery(self._bus, self._acks, reply, where.attempts, stored)
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                place.set_result(delivery)
                self._window.take()
                return
        self._keep(delivery)

    def _ended(self, lane: Lane, words: str) -> None:
        """The server ends a pull: its time is up, or something is wrong."""
        self._coming -= lane.left
        lane.left = 0
        if words.startswith("408"):
            self._refill(0.0)
        else:
            self._repair_soon(words)

    def _keep(self, delivery: NatsDelivery) -> None:
        """Nobody waits for it right now."""
        if self._closed:
            delivery.give_back()
        else:
            self._store.append((delivery, self._bus.clock.monotonic()))
            self._watch()

    def _gone(self, place: asyncio.Future[NatsDelivery]) -> None:
        """A caller has left: the pull it leaves over must not take a message from somebody who wants it."""
        self._waiting.pop(place, None)
        self._leave(max(len(self._waiting), self._window.ahead) if self._waiting else 0)
        self._refill(0.0)

    def _leave(self, most: int) -> None:
        """Leave pulls until no more than so many messages are to come."""
        for lane in [lane for lane in self._lanes if lane.left]:
            if self._coming <= most:
                break
            self._coming -= lane.left
            self._lanes.remove(lane)
            lane.leave()

    def _leave_all(self) -> None:
        lanes, self._lanes, self._coming = self._lanes, [], 0
        for lane in lanes:
            lane.leave()

    def _give_back(self, before: float) -> None:
        """Give back what came before this time and nobody has asked for, and fetch no more of it."""
        if self._store and self._store[0][1] < before:
            self._window.measure(self._bus.clock.monotonic())
            self._leave(len(self._waiting))
        while self._store and self._store[0][1] < before:
            self._store.popleft()[0].give_back()

    def _start_over(self) -> None:
        """After a reconnect every open pull is gone."""
        self._leave_all()
        self._refill(0.0)

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
        self._refill(0.0)

    def _watch(self) -> None:
        """Look now and then whether pulls have gone silent, and whether there are still callers."""
        if self._watchdog is None and not self._closed:
            self._watchdog = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        self._watchdog = None
        now = self._bus.clock.monotonic()
        if not self._waiting and now - self._called > KEEP:
            self._leave(0)
        self._give_back(now - KEEP)
        for lane in self._lanes:
            if lane.left and lane.overdue(now):
                self._coming -= lane.left
                lane.left = 0
        self._refill(0.0)
        if self._coming or self._store or self._waiting:
            self._watch()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for place in waiting:
            if not place.done():
                place.set_exception(Unavailable(f"the consumer {self._durable} of {self._stream} is closed here"))

    def _check(self) -> None:
        self._bus.check_open()
        if self._closed:
            raise Unavailable(f"the consumer {self._durable} of {self._stream} is closed here")
