"""`Tuner`: hears the telemetry of other processes, as it happens: at most once, and only from now on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from mesh.protocols.errors import InvalidName, MeshError
from mesh.protocols.ports import Bus, Message, Subscription
from mesh.protocols.subjects import Subjects
from mesh.telemetry.report import Report, Tune

log = logging.getLogger("mesh.telemetry")

Hear = Callable[[str, Report], None]
"""Takes what one process told: its name, and the report."""
AGAIN = 3.0
"""Seconds after which it says again that it listens."""
LISTENS = 10.0

_decoder = msgspec.json.Decoder(Report)


class Tuner:
    """Listens to one process, or (without a name) to all; close it, or they go on telling for some seconds."""

    def __init__(self, bus: Bus, subjects: Subjects, own: str, hear: Hear, process: str = "") -> None:
        self._bus = bus
        self._subjects = subjects
        self._wish = msgspec.json.encode(Tune(process, LISTENS))
        self._from = subjects.telemetry(process) if process else subjects.telemetry_all()
        self._tune = subjects.tune(own)
        self._hear = hear
        self._subscription: Subscription | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """From now on."""
        self._subscription = await self._bus.subscribe(self._from, self._came)
        self._say()

    async def close(self) -> None:
        """Hear no more. Again: nothing happens."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None

    def _say(self) -> None:
        try:
            self._bus.publish(self._tune, self._wish)
        except MeshError as error:
            log.debug("cannot say that somebody listens: %s", error)
        self._timer = asyncio.get_running_loop().call_later(AGAIN, self._say)

    def _came(self, message: Message) -> None:
        try:
            process, report = self._subjects.parse_telemetry(message.subject), _decoder.decode(message.data)
        except (InvalidName, ValueError, RecursionError) as error:
            log.debug("%s carries no telemetry: %s", message.subject, error)
            return
        self._hear(process, report)
