"""One JSON object a line: the structured log (H3), written by every process and searched by `mesh logs`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

from mesh.telemetry.telemetry import Fields

_encoder = msgspec.json.Encoder(enc_hook=str)


def iso_time(at: float) -> str:
    """Unix seconds as people read them: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines:
    """A sink that writes each event as one line, at once."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr

    def __call__(self, event: str, at: float, fields: Fields) -> None:
        """Write the event: `time` (ISO 8601, UTC), `event`, then its fields without the empty ones."""
        line: dict[str, Any] = {"time": iso_time(at), "event": event}
        line.update((name, value) for name, value in fields.items() if value not in (None, ""))
        self._stream.write(_encoder.encode(line).decode() + "\n")
        self._stream.flush()
