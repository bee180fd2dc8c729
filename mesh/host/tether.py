"""`Tether`: a worker's end of the socket to its supervisor. When the supervisor is gone, the worker drains, and in any case ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import msgspec

from mesh.host.channel import Orders, line

_ABANDONED = 70
_MARGIN = 2.0


class Tether:
    """Reports go out; the only thing that comes in, after the orders, is the end.

    A thread waits for that end, because an event loop that hangs would not hear of it. `abandon` is then called with the
    seconds after which the process must be gone, however it feels.
    """

    def __init__(self, descriptor: int, *, abandon: Callable[[float], None] | None = None) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._on_loss: Callable[[], None] | None = None
        self._lost = threading.Event()
        self._grace = 10.0
        self._abandon = abandon or _exit_after

    def orders(self) -> Orders:
        """The orders. Blocks until the supervisor has given them.

        Raises:
            EOFError: the supervisor went away before.
        """
        text = b""
        while not text.endswith(b"\n"):
            chunk = self._socket.recv(65536)
            if not chunk:
                raise EOFError("the supervisor went away before it gave its orders")
            text += chunk
        orders = msgspec.json.decode(text, type=Orders)
        self._grace = orders.grace
        threading.Thread(target=self._wait_for_the_end, name="tether", daemon=True).start()
        return orders

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Call this, from another thread, when the supervisor is gone; at once if it is already."""
        self._on_loss = callback
        if self._lost.is_set():
            callback()

    def report(self, message: msgspec.Struct) -> None:
        """Send a report that must arrive; a supervisor that is gone is heard of by `on_loss`."""
        try:
            self._socket.sendall(line(message))
        except OSError:
            return

    def beat(self, message: msgspec.Struct) -> None:
        """Send a heartbeat unless that would block: a supervisor that is frozen must not freeze us."""
        try:
            self._socket.send(line(message), socket.MSG_DONTWAIT)
        except OSError:
            return

    def _wait_for_the_end(self) -> None:
        try:
            while self._socket.recv(4096):
                continue
        except OSError:
            pass
        self._lost.set()
        if self._on_loss is not None:
            self._on_loss()
        self._abandon(self._grace + _MARGIN)


def _exit_after(seconds: float) -> None:
    ending = threading.Timer(seconds, os._exit, (_ABANDONED,))
    ending.daemon = True
    ending.start()
