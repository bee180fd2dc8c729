"""`Trace`: what happened, in one line each, with the virtual time and the place. Two runs are the same when their digests are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec


class Trace:
    """Lines that are put together only when somebody reads them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: list[tuple[float, str, str]] = []

    def tell(self, where: str, what: str) -> None:
        """It happened now."""
        self._lines.append((self._now(), where, what))

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self, last: int | None = None) -> list[str]:
        """The last so many of them, or all."""
        chosen = self._lines if last is None else self._lines[-last:]
        return [f"{at:10.4f}  {where:<8} {what}" for at, where, what in chosen]

    def digest(self, *more: object) -> str:
        """What two runs have in common when they are the same."""
        return hashlib.sha256(msgspec.msgpack.encode((self._lines, more))).hexdigest()[:16]
