"""nats-py's client with its message path replaced: handlers run at once, writes are gathered, and nothing ends it quietly.

What nats-py does that we must not have, and where it is dealt with:
    a task and a queue per subscription            `_process_msg` calls the handler
    publish is a coroutine                         `enqueue`: one write per turn of the loop
    PING overtakes what waits to be written        `_send_ping` goes through `enqueue`
    a late PONG for a cancelled flush kills reads  `_process_pong`
    a dead read loop leaves `is_connected` true    `_read_loop` reconnects
    an expired JWT closes the client for good      `_process_err` only reports; the reconnect reads the credentials again
    a hung peer blocks `wait_closed`               `_process_op_err` aborts the socket
    a surprise while reconnecting ends the attempt `_attempt_reconnect` goes on

Private names of nats-py are used here and only here; `tests/transport/test_client.py` checks that they are there. A faster
parser slots in as `self._ps`: whatever feeds `_process_msg`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mesh.protocols.ports import Message
from mesh.transport.listeners import call_message_handler
from mesh.transport.matching import matches
from mesh.transport.nats.frames import decode_headers, subscribe_frame, unsubscribe_frame
from mesh.transport.nats.library import Client, Error, StaleConnectionError, Subscription, TcpTransport, Transport

log = logging.getLogger("mesh.transport")

WRITE_AT_ONCE = 64 * 1024
"""Bytes gathered in one turn of the loop before they are written without waiting for its end."""
SOCKET_HIGH = 4 * 1024 * 1024
"""Bytes the socket may owe us before we stop giving it more."""
RECONNECT_PAUSE = 1.0


class SyncClient(Client):
    """A nats-py client whose subscriptions are plain functions and whose publishing is a plain call.

    `lost` is called when the connection breaks, `denied` with the server's words when it refuses a subject.
    """

    def __init__(self, *, lost: Callable[[], None], denied: Callable[[str], None]) -> None:
        super().__init__()
        self._lost = lost
        self._denied = denied
        self._handlers: dict[int, Callable[[Message], None]] = {}
        self._kicked = False
        self._congested: asyncio.Task[None] | None = None

    # -- out

    @property
    def waiting(self) -> int:
        """Bytes that are not with the socket yet."""
        return int(self._pending_data_size)

    def enqueue(self, frame: bytes) -> None:
        """Write a frame with everything else of this turn of the loop; keep it while there is no connection."""
        self._pending.append(frame)
        self._pending_data_size += len(frame)
        if self._pending_data_size > WRITE_AT_ONCE:
            self._write()
        elif not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._kicked = False
        transport = self._transport
        if not self._pending or not self.is_connected or self._congested is not None or transport is None:
            return
        data = b"".join(self._pending)
        self._pending = []
        self._pending_data_size = 0
        transport.write(data)
        socket = self._socket()
        if socket is None or socket.get_write_buffer_size() > SOCKET_HIGH:
            self._congested = asyncio.get_running_loop().create_task(self._drain(transport), name="drain")

    def _socket(self) -> asyncio.WriteTransport | None:
        """The TCP or TLS connection; a WebSocket has none of this kind, and only sends when it is drained."""
        if isinstance(self._transport, TcpTransport) and self._transport._io_writer is not None:
            return self._transport._io_writer.transport
        return None

    async def _drain(self, transport: Transport) -> None:
        try:
            await transport.drain()  # type: ignore[no-untyped-call]
        except OSError as error:
            log.debug("the socket broke while it was drained: %s", error)
        finally:
            self._congested = None
            self._write()

    async def _flush_pending(self, force_flush: bool = False) -> asyncio.Future[None]:
        """nats-py asks for a write: it happens in this turn of the loop, and nobody has to wait for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self._write()
        return done

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        self.ping(future or asyncio.get_running_loop().create_future())

    def ping(self, pong: asyncio.Future[bool]) -> None:
        """Ask for a PONG behind everything enqueued so far; it resolves `pong`."""
        self._pongs.append(pong)
        self.enqueue(b"PING\r\n")

    # -- in

    def listen(self, subject: str, queue: str, handler: Callable[[Message], None]) -> int:
        """Subscribe, over reconnects too. Returns the subscription's number for `unlisten`."""
        self._sid += 1
        sid = int(self._sid)
        self._subs[sid] = Subscription(self, sid, subject, queue=queue)
        self._handlers[sid] = handler
        self.enqueue(subscribe_frame(subject, queue, sid))
        return sid

    def unlisten(self, sid: int) -> None:
        """End a subscription. Again: nothing happens."""
        if self._handlers.pop(sid, None) is not None:
            self._subs.pop(sid, None)
            self.enqueue(unsubscribe_frame(sid))

    def unlisten_gently(self, sid: int) -> None:
        """End a subscription, but hear what the server has sent by the time it knows. Again: nothing happens."""
        if self._subs.pop(sid, None) is not None:
            self.enqueue(unsubscribe_frame(sid))
            known: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            known.add_done_callback(lambda _: self._handlers.pop(sid, None))
            self.ping(known)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        handler = self._handlers.get(sid)
        if handler is None:
            return
        found = decode_headers(headers) if headers else None
        message = Message(subject.decode("utf-8", "replace"), data, reply.decode("utf-8", "replace"), found)
        if message.no_responders:
            self._tell_everybody(message)
        else:
            call_message_handler(handler, message)

    def _tell_everybody(self, message: Message) -> None:
        """The server gives its 503 to only one of the subscriptions that match: here all of them get it."""
        for sid, subscription in list(self._subs.items()):
            handler = self._handlers.get(sid)
            if handler is not None and matches(subscription.subject, message.subject):
                call_message_handler(handler, message)

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(True)

    # -- staying alive

    async def _process_err(self, err_msg: str) -> None:
        """The server complains. Where that is fatal it closes the connection itself, and we come back."""
        if "stale connection" in err_msg:
            await self._process_op_err(StaleConnectionError())
        elif "permissions violation" in err_msg:
            self._denied(err_msg.strip("'"))
        else:
            self._err = Error(f"nats: {err_msg}")
            log.error("the server says: %s", err_msg.strip("'"))

    async def _process_op_err(self, e: Exception) -> None:
        was_connected = self.is_connected
        socket = self._socket()
        if was_connected and socket is not None:
            socket.abort()
        await super()._process_op_err(e)
        if was_connected:
            log.warning("lost the connection to %s: %s", self._server_info.get("server_name", "the server"), e)
            self._lost()

    async def _read_loop(self) -> None:
        await super()._read_loop()
        task = asyncio.current_task()
        if task is self._reading_task and self.is_connected and not (task and task.cancelling()):
            await self._process_op_err(Error("nats: the read loop ended"))

    async def _attempt_reconnect(self) -> None:
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception:
                log.exception("reconnecting failed in an unexpected way; trying again")
                await asyncio.sleep(RECONNECT_PAUSE)
                continue
            return


def server_identity(client: Client) -> tuple[str, int]:
    """(server id, client id) of the present connection."""
    info: dict[str, Any] = client._server_info
    return str(info.get("server_id", "")), int(client.client_id or 0)
