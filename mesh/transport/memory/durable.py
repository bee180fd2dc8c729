"""A durable consumer as the server keeps it: who waits for a message, who has one, and what comes again when."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from mesh.protocols.ports import Stored
from mesh.transport.matching import matches
from mesh.transport.memory.log import Log

MAX_IN_HAND = 1000
"""Messages that are not done with, in hand or to come again later, after which no new ones are given out: as the real server's
default `max_ack_pending`."""


Place: TypeAlias = "asyncio.Future[tuple[Stored, int]]"
"""A place in the queue for the next message and the count of its deliveries."""


class Durable:
    """One durable consumer of one stream, shared by all who open it."""

    def __init__(self, log: Log, name: str) -> None:
        self.name = name
        self._log = log
        self._subjects: tuple[str, ...] = ()
        self._ack_wait = 30.0
        self._max_deliver = 5
        self._cursor = 0
        self._again: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        self._in_hand: dict[int, asyncio.TimerHandle] = {}
        self._later: dict[int, asyncio.TimerHandle] = {}
        self._waiting: deque[Place] = deque()

    def configure(self, subjects: tuple[str, ...], ack_wait: float, max_deliver: int) -> None:
        """Take on this shape; messages in hand keep their timers."""
        self._subjects, self._ack_wait, self._max_deliver = subjects, ack_wait, max_deliver

    def wait(self) -> Place:
        """Queue up for the next message; whoever does not want it any more must `leave`."""
        place: Place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self.offer()
        return place

    def leave(self, place: Place) -> None:
        """Give the place up; a message that has just been put there goes to the next in the queue, uncounted."""
        if place.done() and not place.cancelled():
            stored, attempts = place.result()
            if self._release(stored.sequence):
                self._attempts[stored.sequence] = attempts - 1
                self._again.appendleft(stored.sequence)
                self.offer()
        place.cancel()

    def offer(self) -> None:
        """Give out what can be given out: called whenever a message or a receiver has come."""
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            stored = self._next()
            if stored is None:
                return
            attempts = self._attempts[stored.sequence] = self._attempts.get(stored.sequence, 0) + 1
            self._start_timer(stored.sequence)
            self._waiting.popleft().set_result((stored, attempts))

    def ack(self, sequence: int) -> None:
        """It is done. Again, or after its time was up: it will not come again either."""
        self._release(sequence)
        self._forget(sequence)
        if self._log.spec.retention == "workqueue":
            self._log.remove(sequence)
        self.offer()

    def retry(self, sequence: int, after: float) -> None:
        """Deliver it again after `after` seconds, unless it has had its last attempt."""
        if not self._release(sequence):
            return
        if after > 0:
            self._later[sequence] = asyncio.get_running_loop().call_later(after, self._due, sequence)
        else:
            self._due(sequence)

    def give_up(self, sequence: int) -> None:
        """Never deliver it again."""
        self.ack(sequence)

    def working(self, sequence: int) -> None:
        """Start its redelivery timer afresh."""
        if self._release(sequence):
            self._start_timer(sequence)

    @property
    def handled(self) -> int:
        """The sequence up to which everything is done with."""
        return min([self._cursor + 1, *self._in_hand, *self._later, *self._again]) - 1

    def forget_time(self) -> None:
        """The server has crashed: everything in hand comes again at once."""
        for timers in (self._in_hand, self._later):
            for timer in timers.values():
                timer.cancel()
            self._again.extend(sorted(timers))
            timers.clear()
        for place in self._waiting:
            place.cancel()
        self._waiting.clear()

    def _next(self) -> Stored | None:
        while self._again:
            sequence = self._again.popleft()
            stored = self._log.get(sequence)
            if stored is not None and (self._max_deliver < 0 or self._attempts.get(sequence, 0) < self._max_deliver):
                return stored
            self._forget(sequence)
        return self._advance() if len(self._in_hand) + len(self._later) < MAX_IN_HAND else None

    def _advance(self) -> Stored | None:
        while self._cursor < self._log.last_sequence:
            self._cursor += 1
            stored = self._log.get(self._cursor)
            if stored is not None and any(matches(pattern, stored.subject) for pattern in self._subjects):
                return stored
        return None

    def _start_timer(self, sequence: int) -> None:
        loop = asyncio.get_running_loop()
        self._in_hand[sequence] = loop.call_later(self._ack_wait, self._timed_out, sequence)

    def _timed_out(self, sequence: int) -> None:
        self._in_hand.pop(sequence, None)
        self._due(sequence)

    def _due(self, sequence: int) -> None:
        self._later.pop(sequence, None)
        self._again.append(sequence)
        self.offer()

    def _release(self, sequence: int) -> bool:
        timer = self._in_hand.pop(sequence, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _forget(self, sequence: int) -> None:
        self._attempts.pop(sequence, None)
        if sequence in self._again:
            self._again.remove(sequence)
        later = self._later.pop(sequence, None)
        if later is not None:
            later.cancel()
