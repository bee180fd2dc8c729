"""Where awards are written down before they are sent. The journal of jobs is one such place."""

from __future__ import annotations

from typing import Protocol

from mesh.protocols.awards import AwardRecord


class AwardLedger(Protocol):
    """Called, and awaited, before each award leaves: a restart then sends the same award again, not another."""

    async def award(self, record: AwardRecord) -> None:
        """Keep the record for good. An exception stops the call, and nothing is sent."""


class MemoryLedger:
    """Keeps the records in a list: for callers who want to see them, and for tests."""

    def __init__(self) -> None:
        self.records: list[AwardRecord] = []

    async def award(self, record: AwardRecord) -> None:
        """Keep it."""
        self.records.append(record)
