"""`AnswerCache`: the good answers of late, for fallbacks. Bounded, in the memory of one process."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from mesh.protocols.ports import Clock

ENTRIES = 1_000
BYTES = 16 << 20
"""So much is kept in all; what takes more than a sixteenth of it is not kept."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """One answer. `at` is in seconds on the monotonic clock."""

    payload: bytes
    by: str
    at: float


class AnswerCache:
    """The least recently used are forgotten first."""

    def __init__(self, clock: Clock, *, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._clock = clock
        self._entries = entries
        self._most = size
        self._size = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def put(self, key: bytes, payload: msgspec.Raw, by: str) -> None:
        """Keep a good answer in place of the one before."""
        data = bytes(payload)
        self._drop(key)
        if len(data) > self._most // 16:
            return
        self._kept[key] = Kept(data, by, self._clock.monotonic())
        self._size += len(data)
        while len(self._kept) > self._entries or self._size > self._most:
            self._drop(next(iter(self._kept)))

    def get(self, key: bytes, max_age: float) -> Kept | None:
        """The answer, if there is one and it is at most `max_age` seconds old."""
        found = self._kept.get(key)
        if found is None or self._clock.monotonic() - found.at > max_age:
            return None
        self._kept.move_to_end(key)
        return found

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, key: bytes) -> None:
        before = self._kept.pop(key, None)
        if before is not None:
            self._size -= len(before.payload)


def key_of(
    tenant: str, target: str, command: str, payload: msgspec.Raw, boundary: str, labels: Mapping[str, str]
) -> bytes:
    """What makes two questions the same: whose they are, what is asked of whom, and what the instance must be."""
    about = msgspec.json.encode((tenant, target, command, boundary, sorted(labels.items())))
    return hashlib.sha256(len(about).to_bytes(4, "big") + about + bytes(payload)).digest()
