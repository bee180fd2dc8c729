"""Events that follow one another on a subject leave together: a JSON array of envelopes in place of one envelope.

A lone event leaves at once. That opens a window: what follows on the same subject within `WINDOW` is gathered and leaves as
one message when the window closes, or earlier when it is full. While events keep coming, windows follow one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from mesh.protocols.envelope import READABLE, Envelope, decode
from mesh.protocols.errors import BadEnvelope, MeshError, VersionUnsupported

MOST = 64
"""Events in one message."""
BYTES = 16 * 1024
"""Bytes in one message, unless one event has more: with 64 KiB the server and both ends wait for each other (108,000 events
a second instead of 179,000)."""
OPENING = b"["
"""The first byte tells a message that holds several."""
WINDOW = 0.001
"""Seconds for which an event may wait for others."""

_together = msgspec.json.Decoder(list[Envelope])
_apart = msgspec.json.Decoder(list[msgspec.Raw])

Publish = Callable[[str, bytes], None]


class Batch:
    """What has been gathered on one subject while its window is open."""

    __slots__ = ("size", "waiting")

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.size = 0

    def take(self) -> bytes:
        """One message of them all; what comes next is gathered anew."""
        waiting, self.waiting, self.size = self.waiting, [], 0
        return b"[%b]" % b",".join(waiting) if len(waiting) > 1 else waiting[0]


class Batches:
    """The batches of one process. Order is kept on each subject; `lost` hears how many could not leave, and why."""

    def __init__(self, publish: Publish, lost: Callable[[int, MeshError], None]) -> None:
        self._publish = publish
        self._lost = lost
        self._open: dict[str, Batch] = {}
        self._timer: asyncio.TimerHandle | None = None

    def send(self, subject: str, data: bytes) -> None:
        """Let an envelope leave: at once if it is alone, else with the others.

        Raises:
            As `Bus.publish` does, where something leaves at once; what waits and cannot leave later is counted.
        """
        batch = self._open.get(subject)
        if batch is None:
            self._publish(subject, data)
            self._open[subject] = Batch()
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(WINDOW, self._close_windows)
            return
        waiting, size = batch.waiting, batch.size + len(data) + 1
        if size > BYTES and waiting:
            self._must_leave(subject, batch)
            waiting, size = batch.waiting, len(data) + 1
        waiting.append(data)
        batch.size = size
        if len(waiting) >= MOST:
            self._must_leave(subject, batch)

    def flush(self) -> None:
        """Everything leaves now."""
        for subject, batch in self._open.items():
            self._leave(subject, batch)

    def _close_windows(self) -> None:
        """Where something came, the next window opens."""
        self._timer = None
        for subject, batch in tuple(self._open.items()):
            if batch.waiting:
                self._leave(subject, batch)
            else:
                del self._open[subject]
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(WINDOW, self._close_windows)

    def _must_leave(self, subject: str, batch: Batch) -> None:
        """Who emits too fast, or for nobody, hears of it."""
        error = self._leave(subject, batch)
        if error is not None:
            raise error

    def _leave(self, subject: str, batch: Batch) -> MeshError | None:
        number = len(batch.waiting)
        if not number:
            return None
        try:
            self._publish(subject, batch.take())
        except MeshError as error:
            self._lost(number, error)
            return error
        return None


def decode_batch(data: bytes, bad: Callable[[MeshError], None]) -> list[Envelope]:
    """The envelopes of a batch, in order; `bad` is told of each that is none, and the others are not lost with it.

    Raises:
        BadEnvelope: it is no array at all.
    """
    try:
        data.isascii() or data.decode()
        envelopes = _together.decode(data)
    except (ValueError, RecursionError):
        return _one_by_one(data, bad)
    if all(each.v in READABLE for each in envelopes):
        return envelopes
    return _one_by_one(data, bad)


def _one_by_one(data: bytes, bad: Callable[[MeshError], None]) -> list[Envelope]:
    try:
        parts = _apart.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadEnvelope(f"not a batch of envelopes: {error}") from None
    found = []
    for part in parts:
        try:
            found.append(decode(bytes(part)))
        except (BadEnvelope, VersionUnsupported) as error:
            bad(error)
    return found
