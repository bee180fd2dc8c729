"""A feed: every message of a stream from some place on, to one handler, in order and without a gap.

An ordered push consumer of our own. Its numbers must run on without a hole, and it must be heard of every few seconds; if
not, or after a reconnect, it is replaced by one that starts where the handler left off (`start` says where that is).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Headers, Stored
from mesh.transport.headers import LAST_DELIVERED, LAST_SEQUENCE, STALLED, STATUS
from mesh.transport.nats.api import NANOSECONDS, MissingStream, call, insist, settled
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.frames import decode_headers
from mesh.transport.nats.stored import DELIVERED, from_delivery, position
from mesh.transport.nats.subscriptions import NatsSubscription

log = logging.getLogger("mesh.transport")

HEARTBEAT = 1.0
SILENCE = 3.0
"""Seconds without a message or a heartbeat after which the consumer is replaced."""
RETRY_FIRST, RETRY_LONGEST = 0.02, 1.0


Frame = tuple[bytes, bytes, bytes, bytes]
"""Subject, reply, header block and data of what arrived."""


class FeedHandler(Protocol):
    """Who a feed is for."""

    async def start(self) -> dict[str, Any]:
        """Where a (new) consumer begins: the deliver policy part of its configuration."""

    async def opened(self, pending: int) -> None:
        """A (new) consumer is there, with so many messages to come."""

    def receive(self, stored: Stored, pending: int) -> None:
        """The next message, and how many the server still had behind it."""

    def idle(self) -> None:
        """There is nothing more for now."""

    def flow(self, answer: Callable[[], None]) -> None:
        """Call `answer` once everything received so far is dealt with: the server then sends more."""


class _Created(msgspec.Struct):
    num_pending: int = 0
    name: str = ""


class Feed:
    """A running feed. `missing`, if given, repairs a stream that is gone; otherwise `open` raises that, and a feed that is open
    waits until it is there again."""

    def __init__(
        self,
        bus: NatsBus,
        stream: str,
        subjects: tuple[str, ...],
        handler: FeedHandler,
        *,
        missing: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._subjects = subjects
        self._handler = handler
        self._missing = missing
        self._subscription: NatsSubscription | None = None
        self._name = ""
        self._early: list[Frame] | None = None
        self._delivered = 0
        self._stood: tuple[str | None, str] | None = None
        self._heard = 0.0
        self._closed = False
        self._stale = False
        self._opening: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Start it.

        Raises:
            MissingStream · NoResponders · TimedOut · Unavailable: it could not be started, and is not running.
        """
        try:
            await insist(self._bus, self._create)
        except BaseException:
            await self.close()
            raise
        self._bus.on_reconnect(self.reset)
        self._watch()

    def reset(self) -> None:
        """Replace the consumer by one that starts where the handler left off, trying for as long as it takes."""
        self._stale = True
        if not self._closed and (self._opening is None or self._opening.done()):
            self._opening = self._bus.background.start(self._reopen(), f"feed of {self._stream}")

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        self._closed = True
        self._bus.off_reconnect(self.reset)
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        await self._drop()

    async def _reopen(self) -> None:
        pause = RETRY_FIRST
        while self._stale and not self._closed:
            await self._bus.until_connected()
            self._stale = False
            try:
                await self._create()
            except MeshError as error:
                self._stale = True
                log.info("the feed of %s cannot be opened again yet: %s", self._stream, error)
                await self._bus.clock.sleep(self._bus.ids.random.uniform(pause / 2, pause))
                pause = min(pause * 2, RETRY_LONGEST)

    async def _create(self) -> None:
        try:
            await self._create_once()
        except MissingStream:
            if self._missing is None:
                raise
            await self._missing()
            await settled(self._bus, self._create_once)

    async def _create_once(self) -> None:
        await self._drop()
        start = await self._handler.start()
        self._name = f"feed-{self._bus.ids.uuid()}"
        inbox = self._bus.inbox()
        self._delivered, self._stood = 0, None
        early: list[Frame] = []
        self._early = early
        name = self._name
        self._subscription = self._bus.receive(inbox, lambda *frame: self._arrived(name, frame))
        answer = await call(self._bus, f"CONSUMER.CREATE.{self._stream}.{self._name}", self._request(inbox, start))
        await self._handler.opened(msgspec.json.decode(answer, type=_Created).num_pending)
        self._heard = self._bus.clock.monotonic()
        self._early = None
        for frame in early:
            self._receive(*frame)

    def _arrived(self, name: str, frame: Frame) -> None:
        """Something for the consumer of that name; it waits until the handler knows that the consumer is there."""
        if name != self._name:
            return
        if self._early is not None:
            self._early.append(frame)
        else:
            self._receive(*frame)

    def _request(self, inbox: str, start: dict[str, Any]) -> dict[str, Any]:
        config = {
            "name": self._name,
            "deliver_subject": inbox,
            "filter_subjects": list(self._subjects),
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT * NANOSECONDS),
            "inactive_threshold": int(2 * SILENCE * NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
            **start,
        }
        return {"stream_name": self._stream, "config": config}

    async def _drop(self) -> None:
        """Leave the present consumer; the server removes it when nobody listens, we ask it to do so at once."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        await subscription.close()
        name, self._name = self._name, ""
        if self._bus.connected:
            self._bus.answer((f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}".encode(),), b"")

    def _receive(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        self._heard = self._bus.clock.monotonic()
        try:
            if reply.startswith(DELIVERED):
                self._data(subject, reply, block, data)
            else:
                self._control(reply.decode(), decode_headers(block))
        except Exception:
            log.exception("the handler of a feed of %s raised; the feed goes on", self._stream)

    def _control(self, reply: str, headers: Headers) -> None:
        """A heartbeat, or the question whether everything so far is dealt with; any other status is the feed's end.

        Of the newest messages the server makes a list, and where the next of them was removed meanwhile, it waits for a
        heartbeat before it looks further. So there is nothing more only where it stands still from one heartbeat to the next.
        """
        if headers[STATUS] != "100":
            self.reset()
            return
        if reply:
            self._handler.flow(lambda: self._answer(reply))
            return
        stalled = headers.get(STALLED)
        if stalled:
            self._handler.flow(lambda: self._answer(stalled))
        last, stood = headers.get(LAST_DELIVERED), headers.get(LAST_SEQUENCE, "")
        if last is not None and int(last) != self._delivered:
            self.reset()
        elif not stalled and self._stood == (last, stood):
            self._handler.idle()
        self._stood = (last, stood)

    def _data(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        where = position(reply)
        if where.delivered != self._delivered + 1:
            self.reset()
            return
        self._delivered = where.delivered
        self._handler.receive(from_delivery(where, subject, block, data), where.pending)

    def _answer(self, subject: str) -> None:
        if self._bus.connected and not self._closed:
            self._bus.answer((subject.encode(),), b"")

    def _watch(self) -> None:
        """Look now and then whether the consumer is still heard of; one that is being made, however slowly, is not silent."""
        if self._closed or self._bus.closed:
            return
        made = self._opening is None or self._opening.done()
        if made and self._bus.connected and self._bus.clock.monotonic() - self._heard > SILENCE:
            self.reset()
        self._watchdog = asyncio.get_running_loop().call_later(HEARTBEAT, self._watch)
