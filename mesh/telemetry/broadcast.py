"""`Broadcast`: a process's telemetry on the wire, while somebody listens.

It asks nothing of the process while nobody does: it is a sink only between two `Tune`s. Events are encoded as they happen
and leave a hundred times a second, or as soon as a message is full. What the connection cannot take, or does not fit, is
dropped and counted, and the next report tells how much it was; nothing here ever waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque

import msgspec

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Bus, Clock, Message, Subscription
from mesh.protocols.subjects import Subjects
from mesh.telemetry.report import AT_MOST, Told, Tune
from mesh.telemetry.telemetry import Fields, Telemetry

OFTEN = 0.01
"""Seconds between two reports."""
FULL = 60 * 1024
"""Bytes of events in one report; one event has no more."""
ROOM = 1024 * 1024
"""Bytes that may wait where the loop is too busy to send them."""

log = logging.getLogger("mesh.telemetry")

_encoder = msgspec.json.Encoder(enc_hook=str)
_tune_decoder = msgspec.json.Decoder(Tune)


class Broadcast:
    """Tells on `tel.<process>` what `telemetry` hears. May be told from any thread."""

    def __init__(self, telemetry: Telemetry, bus: Bus, clock: Clock, subjects: Subjects, process: str) -> None:
        self._telemetry = telemetry
        self._bus = bus
        self._clock = clock
        self._subjects = subjects
        self._process = process
        self._subject = subjects.telemetry(process)
        self._until = 0.0
        self._thread = 0
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen for those who want to hear; where that is not permitted, nobody will. Again: nothing happens."""
        if self._subscription is not None:
            return
        self._thread = threading.get_ident()
        try:
            self._subscription = await self._bus.subscribe(self._subjects.tune_all(), self._tuned)
        except MeshError as error:
            log.debug("telemetry stays in this process: %s", error)

    async def stop(self) -> None:
        """Tell what waits, and no more. Again: nothing happens."""
        self._fall_silent()
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._timer is not None

    def __call__(self, event: str, at: float, fields: Fields) -> None:
        """Take one event. Threads may lose count of the bytes, which are only a bound, and of no event."""
        data = _encoder.encode(Told(event, at, fields))  # type: ignore[arg-type]
        size = self._size + len(data)
        if size > ROOM or len(data) > FULL:
            with self._lock:
                self._dropped += 1
            return
        self._size = size
        self._waiting.append(data)
        if size >= FULL and threading.get_ident() == self._thread:
            self._report()

    def _tuned(self, message: Message) -> None:
        try:
            wish = _tune_decoder.decode(message.data)
        except (ValueError, RecursionError):
            return
        if wish.process in ("", self._process) and wish.seconds > 0:
            self._until = max(self._until, self._clock.monotonic() + min(wish.seconds, AT_MOST))
            if self._timer is None:
                self._telemetry.add(self)
                self._tick()

    def _tick(self) -> None:
        self._report()
        if self._clock.monotonic() < self._until:
            self._timer = asyncio.get_running_loop().call_later(OFTEN, self._tick)
        else:
            self._fall_silent()

    def _fall_silent(self) -> None:
        self._telemetry.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report()

    def _report(self) -> None:
        """Everything that waits leaves, in as few messages as it fits in."""
        self._size = 0
        while self._waiting or self._dropped:
            events = self._take()
            with self._lock:
                dropped, self._dropped = self._dropped, 0
            try:
                self._bus.publish(self._subject, b'{"events":[%b],"dropped":%d}' % (b",".join(events), dropped))
            except MeshError:
                with self._lock:
                    self._dropped += dropped + len(events)
                return

    def _take(self) -> list[bytes]:
        """As much as one message holds."""
        events: list[bytes] = []
        size, waiting = 0, self._waiting
        while waiting and (not events or size + len(waiting[0]) <= FULL):
            size += len(waiting[0]) + 1
            events.append(waiting.popleft())
        return events
