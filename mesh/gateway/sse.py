"""Server-sent events: the journal of a job, as text that any browser or `curl -N` reads."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mesh.gateway.positions import Position
from mesh.jobs.outside.listing import event_rows
from mesh.protocols.job_state import Recorded

HEARTBEAT = b": still here\n\n"
LEAVING = b": the gateway is stopping, come back\n\n"
REVOKED = b": the token is no longer good\n\n"


def blocks(record: Recorded, read: Position) -> Iterator[bytes]:
    """One entry as events, without those that were read before."""
    rows = event_rows(record)
    skip = read.skip(record.sequence)
    for number, row in enumerate(rows, start=1):
        if skip is not None and number > skip:
            here = Position(record.sequence, 0 if number == len(rows) else number)
            data = msgspec.json.encode(row)
            yield b"id: %b\nevent: %b\ndata: %b\n\n" % (str(here).encode(), row["event"].encode(), data)
