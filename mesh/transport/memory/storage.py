"""What the memory server keeps: streams, durable consumers, buckets and objects."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from mesh.protocols.errors import NoResponders, Unavailable
from mesh.protocols.ports import Ack, BucketSpec, Clock, Message, StreamSpec, StreamState
from mesh.transport.headers import EXPECTED, MESSAGE_ID, SCHEDULE
from mesh.transport.memory.bucket import KeySpace
from mesh.transport.memory.durable import Durable
from mesh.transport.memory.log import Log
from mesh.transport.memory.schedules import Schedules

MOST_CAPTURED = 10_000
"""Subjects of which it is remembered whether a stream captures them."""


class HeldObject(NamedTuple):
    """One object: its bytes, when it was last put, and the count of such moments."""

    data: bytes
    time: float
    revision: int


class Storage:
    """The server's JetStream. While `available` is False every request to it is answered like a server without one."""

    def __init__(self, clock: Clock) -> None:
        self.available = True
        self.objects: dict[str, dict[str, HeldObject]] = {}
        self._puts = 0
        self._clock = clock
        self._logs: dict[str, Log] = {}
        self._captured: dict[str, Log | None] = {}
        """By subject: what `capturing` has found, until a stream comes, goes or changes."""
        self._durables: dict[tuple[str, str], Durable] = {}
        self._spaces: dict[str, KeySpace] = {}
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._schedules = Schedules(clock, self.append)

    def check(self) -> None:
        """Raises NoResponders while the storage is away."""
        if not self.available:
            raise NoResponders("JetStream is away")

    def ensure(self, spec: StreamSpec) -> None:
        """Create the stream or bring it to this shape."""
        self._captured.clear()
        log = self._logs.get(spec.name)
        if log is None:
            self._logs[spec.name] = Log(spec)
        else:
            log.reshape(spec)

    def log(self, stream: str) -> Log:
        """The stream of that name, what is too old removed.

        Raises:
            Unavailable: there is none.
        """
        log = self._logs.get(stream)
        if log is None:
            raise Unavailable(f"stream {stream} does not exist; ensure_stream creates it")
        log.expire(self._clock.now())
        return log

    def states(self, prefix: str) -> list[StreamState]:
        """Every stream whose name begins so, by name."""
        names = sorted(name for name in self._logs if name.startswith(prefix))
        return [self.log(name).state() for name in names]

    def keep_object(self, held: dict[str, HeldObject], digest: str, data: bytes, fresh: float) -> None:
        """Keep an object; one that is there and was put longer than `fresh` seconds ago counts as put now."""
        now, there = self._clock.now(), held.get(digest)
        if there is None or now - there.time >= fresh:
            self._puts += 1
            held[digest] = HeldObject(data, now, self._puts)

    def capturing(self, subject: str) -> Log | None:
        """The stream that captures a subject."""
        if not self.available:
            return None
        if subject not in self._captured:
            if len(self._captured) > MOST_CAPTURED:
                self._captured.clear()
            self._captured[subject] = next((log for log in self._logs.values() if log.captures(subject)), None)
        return self._captured[subject]

    def append(self, log: Log, message: Message) -> Ack:
        """Store a message as its headers say, and let everybody know who waits for one."""
        headers = message.headers or {}
        expected = headers.get(EXPECTED)
        self._schedules.check(log, message)
        ack = log.append(
            message.subject,
            message.data,
            message.headers,
            self._clock.now(),
            message_id=headers.get(MESSAGE_ID, ""),
            expected=None if expected is None else int(expected),
        )
        if SCHEDULE in headers and not ack.duplicate:
            self._schedules.stored(log, ack.sequence)
        self.announce(log.spec.name)
        return ack

    def announce(self, stream: str) -> None:
        """Something was stored: followers look again, consumers give out."""
        for event in self._followers.get(stream, ()):
            event.set()
        for (held, _), durable in self._durables.items():
            if held == stream:
                durable.offer()

    def durable(self, stream: str, name: str) -> Durable:
        """The durable consumer of that name, made if needed."""
        key = (stream, name)
        if key not in self._durables:
            self._durables[key] = Durable(self.log(stream), name)
        return self._durables[key]

    def handled(self, stream: str, name: str) -> int:
        """Up to which sequence the durable consumer of that name is done with everything; 0 where there is none."""
        durable = self._durables.get((stream, name))
        return 0 if durable is None else durable.handled

    def space(self, spec: BucketSpec) -> KeySpace:
        """The bucket, made if needed."""
        return self._spaces.setdefault(spec.name, KeySpace(spec))

    def buckets(self, prefix: str) -> list[BucketSpec]:
        """The buckets that would be on disk, whose names begin so, by name."""
        specs = (self._spaces[name].spec for name in sorted(self._spaces) if name.startswith(prefix))
        return [spec for spec in specs if spec.storage == "file"]

    def following(self, stream: str, event: asyncio.Event) -> None:
        """Set the event whenever something is stored."""
        self._followers.setdefault(stream, set()).add(event)

    def not_following(self, stream: str, event: asyncio.Event) -> None:
        """Leave the event alone. Again: nothing happens."""
        self._followers.get(stream, set()).discard(event)

    def crash(self) -> None:
        """What a killed server loses: everything in memory, and the timers of what consumers have in hand."""
        self._schedules.stop()
        for space in self._spaces.values():
            if space.spec.storage == "memory":
                space.lose()
        for durable in self._durables.values():
            durable.forget_time()
        self._captured.clear()
        lost = [name for name, log in self._logs.items() if log.spec.storage == "memory"]
        for name in lost:
            del self._logs[name]
        self._durables = {key: kept for key, kept in self._durables.items() if key[0] not in lost}

    def start(self) -> None:
        """The server is there again: schedules go on."""
        for log in self._logs.values():
            self._schedules.start(log)
