"""Messages that a stream publishes later: what the server does with `Nats-Schedule`, on the running loop's clock.

    Nats-Schedule: @at 2026-11-20T15:05:25Z  |  @every 1m30s
    Nats-Schedule-Target: <subject of the same stream>

The newest message on a subject is its schedule, the one before is gone. When its time comes the target gets its data, with
`Nats-Scheduler` naming the subject; a schedule that is due once is purged then. Purging the subject earlier cancels it. Cron
lines, which the real server knows, too, are refused here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime

from mesh.protocols.errors import Refused
from mesh.protocols.ports import Clock, Headers, Message, Stored
from mesh.transport.headers import (
    EXPECTED,
    MESSAGE_ID,
    ROLLUP,
    SCHEDULE,
    SCHEDULE_NEXT,
    SCHEDULE_TARGET,
    SCHEDULER,
    TTL,
)
from mesh.transport.memory.log import Log

_NOT_PASSED_ON = frozenset({EXPECTED, MESSAGE_ID, TTL, ROLLUP})
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?\Z")
SHORTEST = 1.0
"""Seconds between two messages of a repeating schedule."""


class Schedules:
    """The schedules of every stream. `publish` stores what is due."""

    def __init__(self, clock: Clock, publish: Callable[[Log, Message], object]) -> None:
        self._clock = clock
        self._publish = publish
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def check(self, log: Log, message: Message) -> None:
        """Raises Refused when the stream cannot take this schedule."""
        headers = message.headers or {}
        if SCHEDULE not in headers:
            return
        if not log.spec.allow_schedules:
            raise _refused(
                10188, f"stream {log.spec.name} does not allow schedules: give its StreamSpec allow_schedules"
            )
        next_time(headers[SCHEDULE], self._clock.now())
        target = headers.get(SCHEDULE_TARGET, "")
        if target == message.subject or not target or not log.captures(target):
            raise _refused(
                10190, f"the target of a schedule must be another subject of {log.spec.name}, not {target!r}"
            )

    def stored(self, log: Log, sequence: int) -> None:
        """A message was stored: if it is a schedule it replaces the one before, and its time begins to run."""
        stored = log.get(sequence)
        if stored is None or SCHEDULE not in (stored.headers or {}):
            return
        log.purge(stored.subject, sequence - 1)
        self._arm(log, stored, self._clock.now())

    def stop(self) -> None:
        """The server has stopped: nothing is due until it starts again."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def start(self, log: Log) -> None:
        """The server has started: what was due meanwhile is due now, once."""
        for stored in log.read(">", 0):
            if SCHEDULE in (stored.headers or {}):
                self._arm(log, stored, stored.time)

    def _arm(self, log: Log, stored: Stored, since: float) -> None:
        place = (log.spec.name, stored.subject)
        due = next_time((stored.headers or {})[SCHEDULE], since)
        if place in self._timers:
            self._timers[place].cancel()
        delay = max(0.0, due - self._clock.now())
        self._timers[place] = asyncio.get_running_loop().call_later(delay, self._fire, log, stored)

    def _fire(self, log: Log, stored: Stored) -> None:
        del self._timers[log.spec.name, stored.subject]
        if log.get(stored.sequence) is None:
            return
        headers = dict(stored.headers or {})
        pattern, target = headers[SCHEDULE], headers[SCHEDULE_TARGET]
        once = pattern.startswith("@at ")
        if once:
            log.purge(stored.subject, stored.sequence)
        else:
            self._arm(log, stored, self._clock.now())
        following = "purge" if once else _rfc3339(next_time(pattern, self._clock.now()))
        self._publish(log, Message(target, stored.data, "", _passed_on(headers, stored.subject, following)))


def next_time(pattern: str, since: float) -> float:
    """When a schedule is due, in Unix seconds.

    Raises:
        Refused: the pattern is none.
    """
    kind, _, words = pattern.partition(" ")
    if kind == "@at":
        return _moment(pattern, words)
    if kind == "@every":
        return since + _seconds(pattern, words)
    raise _refused(10189, f"{pattern!r} is no schedule in memory: use '@at <RFC 3339 time>' or '@every <duration>'")


def _moment(pattern: str, words: str) -> float:
    try:
        moment = datetime.fromisoformat(words)
    except ValueError as error:
        raise _refused(10189, f"{pattern!r} does not name a time like 2026-11-20T15:05:25Z") from error
    if moment.tzinfo is None:
        raise _refused(10189, f"{pattern!r} names no time zone: end it with Z")
    return moment.timestamp()


def _seconds(pattern: str, words: str) -> float:
    found = _DURATION.match(words)
    seconds = 0.0
    if found is not None:
        hours, minutes, rest = (float(part or 0) for part in found.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if seconds < SHORTEST:
        raise _refused(10189, f"{pattern!r} does not name a duration like 1m30s, of a second or more")
    return seconds


def _passed_on(headers: Headers, scheduler: str, following: str) -> Headers:
    kept = {
        name: value
        for name, value in headers.items()
        if name not in _NOT_PASSED_ON and not name.startswith(("Nats-Schedule", "Nats-Expected-"))
    }
    return {**kept, SCHEDULER: scheduler, SCHEDULE_NEXT: following}


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _refused(code: int, words: str) -> Refused:
    return Refused(words, detail={"err_code": code})
