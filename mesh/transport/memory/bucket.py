"""A key-value bucket as the server keeps it: revisions, markers of what is gone, and expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.protocols.errors import Conflict
from mesh.protocols.ports import BucketSpec, KeyValue


class KeySpace:
    """Every key of one bucket. Watchers hear of each change with the new `KeyValue`, its value None once it is gone."""

    def __init__(self, spec: BucketSpec) -> None:
        self.spec = spec
        self.watchers: list[Callable[[KeyValue], None]] = []
        self._entries: dict[str, KeyValue] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._revision = 0
        self.generation = 0

    def get(self, key: str) -> KeyValue | None:
        """The live value of a key."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.value is not None else None

    def live(self) -> list[KeyValue]:
        """Every live key, oldest write first."""
        return sorted((e for e in self._entries.values() if e.value is not None), key=lambda e: e.revision)

    def put(self, key: str, value: bytes, ttl: int | None, revision: int | None) -> int:
        """Write; with `revision`, only over that one (0: only where no live value is).

        Raises:
            Conflict: another revision is there.
        """
        if revision is not None:
            self._check(key, revision)
        entry = self._write(key, value)
        if ttl is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(ttl, self._expire, key, entry.revision)
        return entry.revision

    def delete(self, key: str, revision: int | None) -> None:
        """Leave a marker.

        Raises:
            Conflict: another revision is there.
        """
        if revision is not None:
            self._check(key, revision)
        if self.get(key) is not None:
            self._write(key, None)

    def lose(self) -> None:
        """Everything is gone without a word, as a memory bucket's content is after a server restart."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._entries.clear()
        self._revision = 0
        self.generation += 1

    def _check(self, key: str, revision: int) -> None:
        entry = self._entries.get(key)
        found = entry.revision if entry is not None else 0
        gone = entry is None or entry.value is None
        if found != revision and not (gone and revision == 0):
            raise Conflict(
                f"key {key} of {self.spec.name} is at revision {found}, not {revision}",
                detail={"expected": revision, "found": found},
            )

    def _write(self, key: str, value: bytes | None) -> KeyValue:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._revision += 1
        entry = self._entries[key] = KeyValue(key, value, self._revision)
        for tell in tuple(self.watchers):
            tell(entry)
        return entry

    def _expire(self, key: str, revision: int) -> None:
        if self._entries[key].revision == revision:
            self._timers.pop(key, None)
            self._write(key, None)
