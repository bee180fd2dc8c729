"""`Telemetry`: the one call by which everything that happens is told.

Sinks decide what becomes of an event. Below this floor nobody knows what a log line, a span or a metric is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mesh.telemetry.redaction import BLOT, redacted_fields

Fields = Mapping[str, Any]

logger = logging.getLogger("mesh.telemetry")


class Sink(Protocol):
    """Where events go: a log file, a stream of spans, a set of counters."""

    def __call__(self, event: str, at: float, fields: Fields) -> None:
        """Take one event that happened at `at` (Unix seconds). Must not block."""


class Telemetry:
    """Emits named events to its sinks. `now` gives Unix seconds; `common` stands on every event."""

    def __init__(self, now: Callable[[], float], *sinks: Sink, common: Fields | None = None) -> None:
        self._now = now
        self._sinks = sinks
        self._common = redacted_fields(common or {})

    @property
    def heard(self) -> bool:
        """Whether there is any sink: who tells much need not even put it together where there is none."""
        return bool(self._sinks)

    def add(self, sink: Sink) -> None:
        """Send events to this sink, too."""
        self._sinks = (*self._sinks, sink)

    def remove(self, sink: Sink) -> None:
        """Send events to this sink no more. Again: nothing happens."""
        self._sinks = tuple(each for each in self._sinks if each is not sink)

    def emit(self, event: str, /, **fields: Any) -> None:
        """Tell that `event` (dotted, past tense or a noun: `agent.call`, `breaker.opened`) happened.

        Secrets in the fields are redacted first. A sink that fails is logged and keeps the others from nothing.
        """
        if not self._sinks:
            return
        whole = _readable(event, fields)
        if self._common:
            whole = {**self._common, **whole}
        at = self._now()
        for sink in self._sinks:
            try:
                sink(event, at, whole)
            except Exception:
                logger.exception("telemetry sink failed on %s", event)


def _readable(event: str, fields: Fields) -> dict[str, Any]:
    """The fields, redacted; what is nested in itself, or without end, is blotted out, and hurts nobody who only tells."""
    try:
        return redacted_fields(fields)
    except RecursionError:
        logger.error("what %s tells is nested too deeply: it is left out", event)
        return redacted_fields({name: value if _is_flat(value) else BLOT for name, value in fields.items()})


def _is_flat(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def silent() -> Telemetry:
    """Telemetry that nobody hears: for tests and short-lived clients."""
    return Telemetry(lambda: 0.0)
