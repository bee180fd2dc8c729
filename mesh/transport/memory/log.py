"""A stream: an append-only log with compare-and-set on exact subjects, dedupe by message id, and limits.

Decides only: what time it is comes with each call, who is told of a new message is the server's business.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from itertools import takewhile

from mesh.protocols.errors import Conflict, Unavailable
from mesh.protocols.ports import Ack, Headers, Stored, StreamSpec, StreamState
from mesh.transport.matching import has_wildcard, matches


class Log:
    """The messages of one stream. Sequences start at 1 and are never used twice."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.last_sequence = 0
        self._messages: dict[int, Stored] = {}
        self._by_subject: dict[str, list[int]] = {}
        self._ids: dict[str, tuple[int, float]] = {}
        self._bytes = 0

    def captures(self, subject: str) -> bool:
        """Whether a message published to `subject` is stored here."""
        return any(matches(pattern, subject) for pattern in self.spec.subjects)

    def append(
        self, subject: str, data: bytes, headers: Headers | None, now: float, *, message_id: str, expected: int | None
    ) -> Ack:
        """Store a message. Compare-and-set comes before dedupe, as on a single real server.

        Raises:
            Conflict: the last message on this exact subject has another sequence than `expected`.
        """
        self.expire(now)
        if expected is not None:
            self._check(subject, expected)
        if message_id and message_id in self._ids:
            return Ack(self.spec.name, self._ids[message_id][0], duplicate=True)
        self.last_sequence += 1
        if message_id:
            self._ids[message_id] = (self.last_sequence, now)
        self._keep(Stored(subject, data, self.last_sequence, now, headers))
        return Ack(self.spec.name, self.last_sequence)

    def get(self, sequence: int) -> Stored | None:
        """The message with that sequence, if it is still there."""
        return self._messages.get(sequence)

    def read(self, pattern: str, after: int) -> Iterator[Stored]:
        """Every message on matching subjects with a sequence above `after`, in order."""
        if not has_wildcard(pattern):
            held = self._by_subject.get(pattern, [])
            for sequence in held[bisect_right(held, after) :]:
                yield self._messages[sequence]
            return
        for sequence in range(after + 1, self.last_sequence + 1):
            found = self._messages.get(sequence)
            if found is not None and matches(pattern, found.subject):
                yield found

    def first_since(self, time: float) -> int:
        """The sequence just before the first message stored at `time` or later."""
        for sequence, stored in self._messages.items():
            if stored.time >= time:
                return sequence - 1
        return self.last_sequence

    def last(self, subject: str) -> Stored | None:
        """The newest message on an exact subject."""
        held = self._by_subject.get(subject)
        return self._messages[held[-1]] if held else None

    def last_each(self, pattern: str, after: int = 0) -> list[Stored]:
        """The newest message of every matching subject, where it is above `after`, in order of sequence."""
        newest = [held[-1] for subject, held in self._by_subject.items() if matches(pattern, subject)]
        return [self._messages[sequence] for sequence in sorted(newest) if sequence > after]

    def counts(self, pattern: str) -> dict[str, int]:
        """How many messages are on each matching subject."""
        return {subject: len(held) for subject, held in self._by_subject.items() if matches(pattern, subject)}

    def state(self) -> StreamState:
        """How much is in it."""
        return StreamState(
            name=self.spec.name,
            storage=self.spec.storage,
            messages=len(self._messages),
            size=self._bytes,
            limit=self.spec.max_bytes,
            first=next(iter(self._messages), self.last_sequence + 1),
            last=self.last_sequence,
        )

    def stored_as(self, message_id: str) -> int:
        """The sequence under which a message of that id was stored within the duplicate window; 0: none was."""
        return self._ids.get(message_id, (0, 0.0))[0]

    def restore(self, stored: Stored) -> None:
        """A message that was removed is there again, in its place. Again: nothing happens."""
        if stored.sequence not in self._messages:
            self._messages[stored.sequence] = stored
            self._messages = dict(sorted(self._messages.items()))
            insort(self._by_subject.setdefault(stored.subject, []), stored.sequence)
            self._bytes += _size(stored)

    def remove(self, sequence: int) -> None:
        """Forget one message. Again: nothing happens."""
        stored = self._messages.pop(sequence, None)
        if stored is None:
            return
        held = self._by_subject[stored.subject]
        held.remove(sequence)
        if not held:
            del self._by_subject[stored.subject]
        self._bytes -= _size(stored)

    def purge(self, pattern: str, up_to: int) -> int:
        """Forget every message on matching subjects up to and with this sequence; how many those were."""
        found = [stored.sequence for stored in self.read(pattern, 0) if stored.sequence <= up_to]
        for sequence in found:
            self.remove(sequence)
        return len(found)

    def reshape(self, spec: StreamSpec) -> None:
        """Take on another shape.

        Raises:
            Unavailable: storage and retention cannot be changed in place.
        """
        if (spec.storage, spec.retention) != (self.spec.storage, self.spec.retention):
            raise Unavailable(f"stream {spec.name} exists with another storage or retention; remove it first")
        self.spec = spec

    def expire(self, now: float) -> None:
        """Forget message ids and messages that are older than the stream keeps them."""
        window, age = self.spec.duplicate_window, self.spec.max_age
        for message_id in list(takewhile(lambda each: now - self._ids[each][1] >= window, self._ids)):
            del self._ids[message_id]
        if age is not None:
            for sequence in list(takewhile(lambda each: now - self._messages[each].time >= age, self._messages)):
                self.remove(sequence)

    def _check(self, subject: str, expected: int) -> None:
        held = self._by_subject.get(subject)
        found = held[-1] if held else 0
        if found != expected:
            raise Conflict(
                f"{subject} is at sequence {found}, not {expected}: read back before trying again",
                detail={"expected": expected, "found": found},
            )

    def _keep(self, stored: Stored) -> None:
        self._messages[stored.sequence] = stored
        self._by_subject.setdefault(stored.subject, []).append(stored.sequence)
        self._bytes += _size(stored)
        if self.spec.max_bytes is not None:
            while self._bytes > self.spec.max_bytes and self._messages:
                self.remove(next(iter(self._messages)))


def _size(stored: Stored) -> int:
    return len(stored.subject) + len(stored.data) + sum(len(k) + len(v) for k, v in (stored.headers or {}).items())
