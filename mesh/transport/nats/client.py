"""nats-py's client without its message path: it connects, logs in, reconnects; what arrives goes to `Parser`.

What nats-py does that we must not have, and where it is dealt with:
    a stream reader, a parser of regular expressions   `_read_loop`: `SocketTransport` pushes into `Parser`
    a task and a queue per subscription                the parser calls a receiver
    publish is a coroutine, written by a task          `Outbox`: one write per turn of the loop
    PING overtakes what waits to be written            `_send_ping` goes through the outbox
    a late PONG for a cancelled flush kills reads      `FastWire.heard_pong`
    a dead read loop leaves `is_connected` true        `_read_loop` ends in a reconnect, always
    an expired JWT closes the client for good          `FastWire.heard_complaint` reports; a reconnect reads it again
    a hung peer blocks `wait_closed`                   `_process_op_err` aborts the socket
    a surprise while reconnecting ends the attempt     `_attempt_reconnect` goes on
    two attempts to reconnect may run at once          `_connect_to_server` ends the one that was replaced
    who is named over a WebSocket counts as plain      `_process_info` corrects that
    a login that is cut at once leaves its tasks       `_process_connect_init` ends them
    any server will do for a reconnect                 `_process_info` wants the one that the target names
    news before the first PONG confuse the login       `SocketTransport.readline` keeps them for the parser

Private names of nats-py are used here and only here; `guard` looks whether they are as they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.transport.nats.internals import Subscription
from mesh.transport.nats.library import Client
from mesh.transport.nats.outbox import Outbox
from mesh.transport.nats.parser import Parser
from mesh.transport.nats.socket import SocketTransport
from mesh.transport.nats.websocket import WebSocketStream

log = logging.getLogger("mesh.transport")

RECONNECT_PAUSE = 1.0


@dataclass(frozen=True)
class Life:
    """Who is told how the connection fares."""

    opened: Callable[[], None]
    """The server has accepted us."""
    lost: Callable[[Exception, bool], None]
    """The connection broke for this reason; and whether the server had more for us than we could take at once."""
    ping: Callable[[asyncio.Future[bool]], None]
    """nats-py wants to know whether the server is alive."""


class StreamingClient(Client):
    """nats-py's client on a `Parser` and an `Outbox`."""

    def __init__(self, parser: Parser, outbox: Outbox, life: Life) -> None:
        super().__init__()
        self._ps = parser  # type: ignore[assignment]
        self._parser = parser
        self._outbox = outbox
        self._life = life
        self._broken = True
        self.server_name = ""
        """The name that a server must show before we log in; empty where any will do."""

    @property
    def identity(self) -> tuple[str, int]:
        """(server id, client id) of the present connection, or the last one."""
        return str(self._server_info.get("server_id", "")), int(self._client_id or 0)

    @property
    def cluster(self) -> str:
        """The name of the cluster that the server belongs to, if any."""
        return str(self._server_info.get("cluster") or "")

    def remember(self, subject: str, queue: str) -> int:
        """A number for a subscription, which is made again after every reconnect."""
        self._sid += 1
        self._subs[self._sid] = Subscription(self, self._sid, subject, queue=queue)
        return self._sid

    def forget(self, sid: int) -> bool:
        """Whether that subscription was remembered until now."""
        return self._subs.pop(sid, None) is not None

    def is_alive(self) -> None:
        """The server has answered a PING."""
        self._pings_outstanding = 0

    def learn(self, info: dict[str, Any]) -> None:
        """The server has news: nats-py keeps the list of its peers; how much we may send can have changed."""
        self._max_payload = int(info.get("max_payload", self._max_payload))
        asyncio.get_running_loop().create_task(self._process_info(info), name="news of the server")

    def abort(self) -> None:
        """Drop the connection, whatever has not left yet. Again: nothing happens."""
        if isinstance(self._transport, SocketTransport):
            self._transport.abort()

    async def _connect_to_server(self, s: Any) -> None:
        if self._reconnection_task not in (None, asyncio.current_task()):
            raise asyncio.CancelledError
        if not self._transport and s.uri.scheme not in ("ws", "wss"):
            self._transport = SocketTransport(self._outbox.can_write)
        await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        shown = info.get("server_name", "")
        if initial_connection and self.server_name not in ("", shown):
            raise ConnectionRefusedError(f"somebody else's server listens there, {shown}, and not {self.server_name}")
        await super()._process_info(info, initial_connection)
        spoken = self._current_server.uri.scheme if self._current_server else ""
        if spoken in ("ws", "wss"):
            for server in self._server_pool:
                server.uri = server.uri._replace(scheme=spoken)

    async def _process_connect_init(self) -> None:
        for task in (self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        await super()._process_connect_init()
        self._parser.reset()
        self._broken = False
        self._life.opened()

    async def _read_loop(self) -> None:
        """Stream until the connection ends. nats-py has sent the subscriptions by now: what has waited may follow."""
        transport = self._transport
        assert transport is not None
        stream = (
            transport if isinstance(transport, SocketTransport) else WebSocketStream(transport, self._outbox.can_write)
        )
        self._outbox.open(stream.write)
        await self._process_op_err(await stream.stream(self._take))

    def _take(self, data: bytes) -> None:
        self._outbox.heard()
        self._parser.feed(data)

    async def _process_op_err(self, e: Exception) -> None:
        if self._broken or self.is_closed:
            return
        self._broken = True
        self._outbox.close()
        behind = isinstance(self._transport, SocketTransport) and self._transport.behind
        self.abort()
        await super()._process_op_err(e)
        log.warning("lost the connection to %s: %s", self._server_info.get("server_name", "the server"), e)
        self._life.lost(e, behind)

    async def _attempt_reconnect(self) -> None:
        while not self.is_closed and self._reconnection_task is asyncio.current_task():
            try:
                await super()._attempt_reconnect()
            except Exception:
                log.exception("reconnecting failed in an unexpected way; trying again")
                await asyncio.sleep(RECONNECT_PAUSE)
                continue
            return

    async def _flush_pending(self, force_flush: bool = False) -> asyncio.Future[None]:
        """nats-py asks for a write; the outbox writes by itself, and nobody has to wait for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        self._life.ping(future or asyncio.get_running_loop().create_future())
