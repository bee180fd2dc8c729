"""The server's side of the client protocol, taken apart: bytes in, calls out, no input or output of its own.

Frames as the server writes them:
    MSG subject sid [reply] size␍␊ payload␍␊
    HMSG subject sid [reply] header-size total-size␍␊ header block, payload␍␊
    PING␍␊ · PONG␍␊ · +OK␍␊ · -ERR 'words'␍␊ · INFO {json}␍␊

Whatever pieces the bytes come in, every frame is told once, in order, as soon as it is whole. What a large frame needs is
known from its first line, so that its pieces are joined once and not with every piece.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from mesh.transport.nats.library import Error

Receiver = Callable[[bytes, bytes, bytes, bytes], None]
"""Called with subject, reply (empty: none is wanted), header block (empty: none) and payload. It should not raise: that is only logged."""

log = logging.getLogger("mesh.transport")

LONGEST_LINE = 1024 * 1024
"""Bytes of a control line; the longest ones are INFOs that name every server of a cluster."""
LARGEST_MESSAGE = 64 * 1024 * 1024
"""Bytes of a message: the most that a nats-server can be configured to carry."""
SHOWN = 80
"""Bytes of a malformed line that its error shows."""
_LINE_END = b"\r\n"
_CARRIAGE_RETURN = 13


class MalformedFrame(Error):
    """The server sent what is no frame, or a larger one than any server sends."""


class Control(Protocol):
    """Who is told of the frames that are no messages. What it raises ends the parsing."""

    def heard_ping(self) -> None:
        """The server wants a PONG."""

    def heard_pong(self) -> None:
        """The server answers the oldest PING that is not answered yet."""

    def heard_complaint(self, words: str) -> None:
        """The server's `-ERR`, without its quotes."""

    def heard_info(self, body: bytes) -> None:
        """The server describes itself, in JSON."""


class Parser:
    """Tells messages to the receiver of their subscription, by its number, and everything else to `control`."""

    def __init__(self, receivers: Mapping[bytes, Receiver], control: Control) -> None:
        self._receivers = receivers
        self._control = control
        self.reset()

    def reset(self) -> None:
        """Forget the beginning of a frame that never ended: the connection is a new one."""
        self._pieces: list[bytes] = []
        self._held = 0
        self._needed = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes, and tell every frame that is whole by now.

        Raises:
            MalformedFrame: the connection is of no use any more.
        """
        if self._held:
            self._pieces.append(data)
            self._held += len(data)
            if self._still_partial(data):
                return
            data = b"".join(self._pieces)
            self.reset()
        try:
            rest = self._tell_whole_frames(data)
        except (ValueError, IndexError) as error:
            raise MalformedFrame(f"the server sent a malformed frame: {error}") from error
        if rest < len(data):
            self._pieces.append(data[rest:])
            self._held = len(data) - rest

    def _still_partial(self, piece: bytes) -> bool:
        if self._needed:
            return self._held < self._needed
        if self._held > LONGEST_LINE:
            raise MalformedFrame("the server sent a line without an end")
        return b"\n" not in piece

    def _tell_whole_frames(self, data: bytes) -> int:
        """Where the first frame begins that is not whole yet; what it needs is noted."""
        find, receiver_of, have = data.find, self._receivers.get, len(data)
        begin = 0
        while begin < have:
            line_end = find(_LINE_END, begin)
            if line_end < 0:
                break
            words = data[begin:line_end].split()
            kind, count = words[0], len(words)
            body = line_end + 2
            if kind == b"MSG":
                payload, least = body, 4
            elif kind == b"HMSG":
                payload, least = body + int(words[-2]), 5
            else:
                self._tell_control(kind, data[begin:line_end])
                begin = body
                continue
            end = body + int(words[-1])
            if not body <= payload <= end <= body + LARGEST_MESSAGE or not least <= count <= least + 1:
                raise ValueError(repr(data[begin : min(line_end, begin + SHOWN)]))
            if end + 2 > have:
                self._needed = end + 2 - begin
                break
            if data[end] != _CARRIAGE_RETURN:
                raise ValueError("a message that is not as long as its first line says")
            receiver = receiver_of(words[2])
            begin = end + 2
            if receiver is not None:
                try:
                    receiver(words[1], words[3] if count > least else b"", data[body:payload], data[payload:end])
                except Exception:
                    log.exception("the receiver of %r raised; the connection goes on", words[1])
        return begin

    def _tell_control(self, kind: bytes, line: bytes) -> None:
        if kind == b"PING":
            self._control.heard_ping()
        elif kind == b"PONG":
            self._control.heard_pong()
        elif kind == b"-ERR":
            self._control.heard_complaint(line[4:].decode("utf-8", "replace").strip().strip("'"))
        elif kind == b"INFO":
            self._control.heard_info(line[4:])
        elif kind != b"+OK":
            raise ValueError(repr(line[:SHOWN]))
