"""What Python's own `logging` says in a worker, as the JSON lines that everything else there is."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

import msgspec

from mesh.telemetry.redaction import redacted

LEVEL = "MESH_LOG"


class JsonFormatter(logging.Formatter):
    """One record, one line: `time`, `event` (always `log`), `level`, `logger`, `message`, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "event": "log",
            "level": record.levelname.lower(),
            "process": os.environ.get("MESH_PROCESS", ""),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(redacted(line)).decode()


def log_as_json() -> None:
    """Send every record of level `$MESH_LOG` (default: info) and above to stderr. Again: the same."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    level = os.environ.get(LEVEL, "info").upper()
    known = level in logging.getLevelNamesMapping()
    logging.basicConfig(level=level if known else "INFO", handlers=[handler], force=True)
