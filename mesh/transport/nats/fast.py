"""The fast wire: between the socket and a receiver, and between `publish` and the socket, there is only our own code."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import msgspec

from mesh.protocols.errors import Unavailable
from mesh.settings.target import ServerTarget
from mesh.transport.nats.client import Life, StreamingClient
from mesh.transport.nats.dial import Callbacks, abandon, dial
from mesh.transport.nats.frames import publish_frame, subscribe_frame, unsubscribe_frame
from mesh.transport.nats.library import StaleConnectionError, UnexpectedEOF
from mesh.transport.nats.outbox import PING, PONG, Outbox
from mesh.transport.nats.parser import MalformedFrame, Parser, Receiver
from mesh.transport.nats.wire import Told

log = logging.getLogger("mesh.transport")

CLOSE_WITHIN = 2.0


class FastWire:
    """`Wire` over a nats-py client whose message path is our own. It is also what the parser tells of control frames."""

    def __init__(self, told: Told) -> None:
        self.connected = False
        self._told = told
        self._receivers: dict[bytes, Receiver] = {}
        self._outbox = Outbox()
        self._pongs: list[asyncio.Future[bool]] = []
        life = Life(opened=self._opened, lost=self._lost, ping=self.ping)
        self._client = StreamingClient(Parser(self._receivers, self), self._outbox, life)
        self.max_payload = self._client.max_payload
        self._closing = False

    # -- Wire

    @property
    def identity(self) -> tuple[str, int]:
        """(server id, client id) of the present connection."""
        return self._client.identity

    @property
    def cluster(self) -> str:
        """The name of the cluster that the server belongs to, if any."""
        return self._client.cluster

    @property
    def waiting(self) -> int:
        """Bytes that are not with the socket yet."""
        return self._outbox.waiting

    async def dial(self, target: ServerTarget, name: str, source: random.Random, timeout: float) -> None:
        """Make the first connection."""
        self._client.server_name = target.server_name
        await dial(self._client, target, name, source, timeout, Callbacks(reconnected=self._back))

    def listen(self, subject: str, queue: str, receiver: Receiver) -> int:
        """Subscribe, over reconnects too."""
        sid = self._client.remember(subject, queue)
        self._receivers[b"%d" % sid] = receiver
        if self.connected:
            self._outbox.put(subscribe_frame(subject, queue, sid))
        return sid

    def unlisten(self, sid: int) -> None:
        """End a subscription."""
        self._receivers.pop(b"%d" % sid, None)
        self._unsubscribe(sid)

    def leave(self, sid: int) -> None:
        """End a subscription, but hear what the server has sent by the time it knows."""
        if self._unsubscribe(sid):
            known: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            known.add_done_callback(lambda _: self._receivers.pop(b"%d" % sid, None))
            self.ping(known)

    def publish(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        """Send a message with everything else of this turn of the loop."""
        self._outbox.put(publish_frame(subject, reply, block, data))

    def ping(self, pong: asyncio.Future[bool]) -> None:
        """Ask for a PONG behind everything published so far."""
        self._pongs.append(pong)
        if self.connected:
            self._outbox.put(PING)
        else:
            self._fail_pongs()

    async def close(self) -> None:
        """End the connection for good."""
        self._closing = True
        self._outbox.flush()
        self.connected = False
        try:
            await abandon(self._client, CLOSE_WITHIN)
        finally:
            self._fail_pongs()
            self._client.abort()

    # -- Control

    def heard_ping(self) -> None:
        """The server asks whether we are alive."""
        self._outbox.put(PONG)

    def heard_pong(self) -> None:
        """The server has taken what was sent before the PING; whoever asked for that may be gone by now."""
        self._client.is_alive()
        if self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(True)

    def heard_complaint(self, words: str) -> None:
        """The server complains. Where that is fatal it closes the connection itself, and we come back."""
        said = words.lower()
        if "stale connection" in said:
            raise StaleConnectionError
        if "permissions violation" in said:
            self._told.denied(said)
        elif "slow consumer" in said:
            self._told.slow("the server says so")
        else:
            log.error("the server says: %s", said)

    def heard_info(self, body: bytes) -> None:
        """The server has news of itself."""
        try:
            self._client.learn(msgspec.json.decode(body, type=dict[str, Any]))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise MalformedFrame(f"the server's news cannot be read: {error}") from error
        self.max_payload = self._client.max_payload

    # -- told by the client

    def _opened(self) -> None:
        self.connected = not self._closing
        self.max_payload = self._client.max_payload

    def _lost(self, error: Exception, behind: bool) -> None:
        self.connected = False
        self._fail_pongs()
        if behind and isinstance(error, (UnexpectedEOF, ConnectionError)):
            self._told.slow("the server cut the connection while it had more for us than we took")
        if not self._closing:
            self._told.lost()

    async def _back(self) -> None:
        self._told.back()

    # -- inside

    def _unsubscribe(self, sid: int) -> bool:
        known = self._client.forget(sid)
        if known and self.connected:
            self._outbox.put(unsubscribe_frame(sid))
        return known

    def _fail_pongs(self) -> None:
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():
                pong.set_exception(Unavailable("the connection was lost meanwhile", detail={"sent": True}))
                pong.exception()
