"""The plain wire: nats-py as it offers itself to everybody, and nothing else. The fall-back, and the yardstick for the fast one.

Calls become commands that one task carries out in order, with nats-py's own coroutines. Where nats-py falls short of what a
`Wire` promises, it is made up for from outside:
    PING overtakes what waits to be written       a flush counts once nothing waited when it began
    a late PONG for a flush that was given up ends all reading    flushes are never given up while the connection lives
    it closes for good, or hangs in a reconnect   after `RENEW_AFTER` seconds another client takes its place
    the server's id is not told                   the server is asked who we are (`$SYS.REQ.USER.INFO`)

What cannot be made up for: after an error inside nats-py's read loop `flush` returns at once until its pings notice, three
`PING_INTERVAL`s later; a user who may not ask who he is has no server id; the socket of a hung server stays open.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mesh.protocols.errors import Unavailable
from mesh.settings.target import ServerTarget
from mesh.transport.nats.dial import Callbacks, abandon, dial
from mesh.transport.nats.frames import decode_headers, rebuild_block
from mesh.transport.nats.library import Client, Error, SlowConsumerError
from mesh.transport.nats.parser import Receiver
from mesh.transport.nats.wire import Told

log = logging.getLogger("mesh.transport")

WHO_AM_I = "$SYS.REQ.USER.INFO"
ANSWER_WITHIN = 5.0
"""Seconds for who we are. Without an answer nobody knows that this is a cluster, and what is made there has one replica."""
WATCH = 0.05
"""Seconds between looks at whether nats-py is still connected: it tells late, and not always."""
RENEW_AFTER = 5.0
"""Seconds that nats-py's own reconnecting gets."""
NEVER = 24 * 3600
CLOSE_WITHIN = 2.0

Command = Callable[[], Awaitable[None]]


class PlainWire:
    """`Wire` over the public face of nats-py."""

    def __init__(self, told: Told) -> None:
        self.identity = ("", 0)
        self.cluster = ""
        self._told = told
        self._client = Client()
        self._dialled: tuple[ServerTarget, str, random.Random, float] | None = None
        self._up = asyncio.Event()
        self._down_since = 0.0
        self._sid = 0
        self._listening: dict[int, tuple[str, str, Receiver]] = {}
        self._subscriptions: dict[int, Any] = {}
        self._commands: deque[tuple[Command, int]] = deque()
        self._commanded = asyncio.Event()
        self._queued = 0
        self._pings: dict[asyncio.Future[bool], asyncio.Task[None] | None] = {}
        self._asking: asyncio.Future[Any] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    # -- Wire

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return self._up.is_set() and bool(self._client.is_connected)

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have."""
        return int(self._client.max_payload)

    @property
    def waiting(self) -> int:
        """Bytes that are not with the socket yet."""
        return self._queued + int(self._client.pending_data_size)

    async def dial(self, target: ServerTarget, name: str, source: random.Random, timeout: float) -> None:
        """Make the first connection."""
        self._dialled = (target, name, source, timeout)
        await self._connect(self._client)
        await self._identify(self._client)
        self._up.set()
        self._start_working()
        self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="watch over the plain wire")

    def listen(self, subject: str, queue: str, receiver: Receiver) -> int:
        """Subscribe, over reconnects and new clients too."""
        self._sid += 1
        sid = self._sid
        self._listening[sid] = (subject, queue, receiver)
        self._command(lambda: self._subscribe(sid))
        return sid

    def unlisten(self, sid: int) -> None:
        """End a subscription."""
        if self._listening.pop(sid, None) is not None:
            self._command(lambda: self._unsubscribe(sid))

    def leave(self, sid: int) -> None:
        """End a subscription, but hear what the server has sent by the time it knows."""
        if sid in self._listening:
            self._command(lambda: self._drain(sid))

    def publish(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        """Send a message, in its turn."""
        headers = decode_headers(block) if block else None
        to, answer = subject.decode(), reply.decode()
        self._command(lambda: self._client.publish(to, data, answer, headers), len(data))

    def ping(self, pong: asyncio.Future[bool]) -> None:
        """Resolve `pong` when the server has taken everything published so far."""
        self._pings[pong] = None
        self._command(lambda: self._begin_flush(pong))

    async def close(self) -> None:
        """End the connection for good."""
        ending = [task for task in (self._worker, self._watcher) if task is not None]
        self._worker = self._watcher = None
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._give_up_pings()
        self._up.clear()
        self._listening.clear()
        await abandon(self._client, CLOSE_WITHIN)

    # -- commands, in their order

    def _command(self, command: Command, size: int = 0) -> None:
        self._commands.append((command, size))
        self._queued += size
        self._commanded.set()

    def _start_working(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="plain wire")

    async def _work(self) -> None:
        """Until another one takes its place: nats-py may swallow the cancellation, and then just goes on."""
        me = asyncio.current_task()
        while me is self._worker:
            self._commanded.clear()
            while self._commands:
                await self._up.wait()
                command, size = self._commands[0]
                done = await self._carried_out(command)
                if me is not self._worker:
                    return
                if done:
                    self._commands.popleft()
                    self._queued -= size
            await self._commanded.wait()

    async def _carried_out(self, command: Command) -> bool:
        """Whether it is done with: what fails for want of a connection is tried again on the next one."""
        try:
            await command()
        except (Error, OSError) as error:
            if not self._client.is_connected:
                self._go_down()
                return False
            log.error("nats-py refuses: %s", error)
        return True

    async def _subscribe(self, sid: int) -> None:
        if sid in self._listening and sid not in self._subscriptions:
            subject, queue, receiver = self._listening[sid]

            async def hear(message: Any) -> None:
                if sid in self._listening:
                    block = rebuild_block(message.headers) if message.headers else b""
                    receiver(message.subject.encode(), message.reply.encode(), block, message.data)

            self._subscriptions[sid] = await self._client.subscribe(subject, queue, cb=hear)

    async def _unsubscribe(self, sid: int) -> None:
        subscription = self._subscriptions.pop(sid, None)
        if subscription is not None:
            await subscription.unsubscribe()

    async def _drain(self, sid: int) -> None:
        subscription = self._subscriptions.pop(sid, None)
        if subscription is not None:
            asyncio.get_running_loop().create_task(self._drained(sid, subscription), name="leaving a subject")

    async def _drained(self, sid: int, subscription: Any) -> None:
        try:
            await subscription.drain()
        except (Error, OSError) as error:
            log.debug("a subscription ended with its connection: %s", error)
        self._listening.pop(sid, None)

    async def _begin_flush(self, pong: asyncio.Future[bool]) -> None:
        if pong in self._pings:
            self._pings[pong] = asyncio.get_running_loop().create_task(self._flush(pong), name="flush")

    async def _flush(self, pong: asyncio.Future[bool]) -> None:
        client = self._client
        try:
            while client.pending_data_size:
                await client.flush(NEVER)
            await client.flush(NEVER)
        except (Error, OSError) as error:
            log.debug("a flush ended with its connection: %s", error)
            _fail(pong)
        if not pong.done():
            pong.set_result(True)
        self._pings.pop(pong, None)

    # -- the life of the connection

    async def _connect(self, client: Client) -> None:
        assert self._dialled is not None
        callbacks = Callbacks(
            reconnected=lambda: self._come_back(client),
            disconnected=lambda: self._on_disconnected(client),
            complaint=self._on_complaint,
        )
        await dial(client, *self._dialled, callbacks)

    async def _watch(self) -> None:
        while self._watcher is not None:
            await asyncio.sleep(WATCH)
            if self._up.is_set():
                if not self._client.is_connected:
                    self._go_down()
            elif self._client.is_closed or asyncio.get_running_loop().time() - self._down_since > RENEW_AFTER:
                await self._renew()

    async def _renew(self) -> None:
        """Another client in place of one that does not come back."""
        old, self._client = self._client, Client()
        self._start_working()
        await abandon(old, CLOSE_WITHIN)
        try:
            await self._connect(self._client)
        except Unavailable as error:
            log.debug("still no connection: %s", error)
            return
        self._subscriptions.clear()
        for sid in list(self._listening):
            await self._carried_out(lambda sid=sid: self._subscribe(sid))  # type: ignore[misc]
        await self._come_back(self._client)

    def _go_down(self) -> None:
        if self._up.is_set():
            self._up.clear()
            self._down_since = asyncio.get_running_loop().time()
            self._give_up_pings()
            self._told.lost()

    async def _on_disconnected(self, client: Client) -> None:
        if client is self._client:
            self._go_down()

    async def _come_back(self, client: Client) -> None:
        if client is self._client:
            self._go_down()
            await self._identify(client)
            self._up.set()
            self._told.back()

    async def _identify(self, client: Client) -> None:
        server = ""
        self._asking = asyncio.ensure_future(client.request(WHO_AM_I, b"", timeout=ANSWER_WITHIN))
        try:
            answer = msgspec.json.decode((await self._asking).data)
            server = answer["server"]["id"]
            self.cluster = answer["server"].get("cluster", "")
        except (Error, OSError, TimeoutError, asyncio.CancelledError, msgspec.MsgspecError, KeyError) as error:
            log.info("the server does not tell its id: %s", error or type(error).__name__)
        self.identity = (server, int(client.client_id or 0))

    def _on_complaint(self, error: Exception) -> None:
        words = str(error).lower().removeprefix("nats: ")
        if isinstance(error, SlowConsumerError):
            self._told.slow(f"nats-py dropped a message on {error.subject}")
        elif WHO_AM_I.lower() in words and self._asking is not None:
            self._asking.cancel()
        elif "permissions violation" in words:
            self._told.denied(words)

    def _give_up_pings(self) -> None:
        pings, self._pings = self._pings, {}
        for pong, task in pings.items():
            if task is not None:
                task.cancel()
            _fail(pong)


def _fail(pong: asyncio.Future[bool]) -> None:
    if not pong.done():
        pong.set_exception(Unavailable("the connection was lost meanwhile", detail={"sent": True}))
        pong.exception()
