"""The heart of one process: sends its beats, and answers those who ask whether it lives. `beats.py` decides what to tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from mesh.protocols.conduct import Statement
from mesh.protocols.errors import InvalidName, MeshError
from mesh.protocols.ports import Bus, Clock, Message, Subscription
from mesh.protocols.subjects import Subjects
from mesh.registry.beats import Beats
from mesh.registry.records import Beat, Figures
from mesh.registry.statements import Source, Statements
from mesh.registry.waiting import signalled

logger = logging.getLogger("mesh.registry")


class Heart:
    """Heartbeats on `beat.<process>`, answers to probes on `live.<process>.<incarnation>`."""

    def __init__(
        self, bus: Bus, clock: Clock, subjects: Subjects, process: str, incarnation: str, beat_seconds: float
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._subjects = subjects
        self._process = process
        self._incarnation = incarnation
        self._pause = beat_seconds
        self._beats = Beats(process, incarnation, seconds=beat_seconds)
        self._statements = Statements()
        self._sooner = asyncio.Event()
        self._live: Subscription | None = None
        self.lag = 0.0

    @property
    def silent_for(self) -> float:
        """Seconds for which no beat can leave, whatever changes; not above zero if one could leave now."""
        return self._beats.free_at - self._clock.monotonic()

    async def listen(self) -> None:
        """Answer probes from now on: before the lease is there, so that nobody who finds it can think us dead."""
        self._live = await self._bus.subscribe(self._subjects.live(self._process, self._incarnation), self._asked)

    async def close(self) -> None:
        """Answer no more. Again: nothing happens."""
        live, self._live = self._live, None
        if live is not None:
            await live.close()

    def set(self, key: str, figures: Figures) -> None:
        """The figures of `<agent>.<instance>`, told with the next beat."""
        if self._beats.set(key, figures):
            self._sooner.set()

    def drop(self, key: str) -> None:
        """The instance is gone."""
        self._beats.drop(key)

    def refresh(self) -> None:
        """Tell everything with the next beat."""
        self._beats.refresh()
        self._sooner.set()

    def testify(self, source: Source) -> None:
        """Tell of bidders what this source has measured, with the beats."""
        self._statements.source = source

    async def beat(self) -> None:
        """Send beats as they fall due, until cancelled."""
        while True:
            wait = self._beats.due_at - self._clock.monotonic()
            if wait > 0:
                await signalled(self._sooner, wait)
            elif not self._bus.connected:
                self._beats.refresh()
                await self._clock.sleep(self._pause)
            else:
                self._tell()

    def _tell(self) -> None:
        now = self._clock.monotonic()
        try:
            parts = self._beats.take(now, self.lag)
            self._send(self._subjects.beat(self._process), _with(parts, self._statements.due(now) if parts else ()))
        except MeshError as error:
            logger.info("%s: a heartbeat was not sent: %s", self._process, error)
        except Exception:
            logger.exception("%s: a heartbeat was not sent; the next one may be", self._process)

    def _asked(self, message: Message) -> None:
        """Somebody asks whether we live. We answer to nobody but a reply subject that names us as the responder."""
        try:
            if self._subjects.parse_roll(message.reply).responder == self._process:
                told = self._statements.everything(self._clock.monotonic())
                self._send(message.reply, _with(self._beats.everything(self.lag), told))
        except (InvalidName, MeshError) as error:
            logger.debug("%s: a probe was not answered: %s", self._process, error)

    def _send(self, subject: str, parts: Sequence[Beat]) -> None:
        for part in parts:
            self._bus.publish(subject, msgspec.json.encode(part))


def _with(parts: Sequence[Beat], conduct: tuple[Statement, ...]) -> Sequence[Beat]:
    """The beat, with this in its first part."""
    return [msgspec.structs.replace(parts[0], conduct=conduct), *parts[1:]] if conduct else parts
