"""`TamperedStore`: a real store whose user dies at named points, loses acknowledgements, or gets everything three times.

It also writes down what the server acknowledged, and what it refused because somebody else had written, one line an append:
the checker asks for all of the former, and scenarios for some of the latter.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh.protocols.errors import Conflict, TimedOut
from mesh.protocols.ports import Ack, Consumer, Delivery, Headers, Store
from tests.chaos.doom import Doom


class _Event(msgspec.Struct):
    type: str


class _Entry(msgspec.Struct):
    events: tuple[_Event, ...]


_entry = msgspec.json.Decoder(_Entry)


class TamperedStore:
    """A `Store`; what is not tampered with goes through.

    `lose` is the share of acknowledgements of appends that never arrive, `copies` how often each message is delivered.
    Points to die at: `before <type>` and `after <type>` of every journal event, the latter once it is stored.
    """

    def __init__(
        self, store: Store, folder: Path, process: str, *, lose: float = 0.0, copies: int = 1, chance: random.Random
    ) -> None:
        self._store = store
        self._process = process
        self._doom = Doom(folder)
        self._acked = os.open(folder / f"{process}.acked", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._refused = os.open(folder / f"{process}.refused", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lose = lose
        self._copies = copies
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str = "",
        expected: int | None = None,
        headers: Headers | None = None,
        timeout: float = 5.0,
    ) -> Ack:
        """Store it; the acknowledgement may be lost on its way, and whoever asked may die before or after."""
        points = list(points_in(data)) if ".job." in subject else []
        for point in points:
            self._doom.at(f"before {point}", self._process)
        try:
            ack = await self._store.append(
                subject, data, message_id=message_id, expected=expected, headers=headers, timeout=timeout
            )
        except Conflict:
            os.write(self._refused, f"{time.time():.6f} {subject} {','.join(points)}\n".encode())
            raise
        for point in points:
            self._doom.at(f"after {point}", self._process)
        if self._lose and self._chance.random() < self._lose:
            await asyncio.sleep(self._chance.uniform(0.0, 0.1))
            raise TimedOut(f"the acknowledgement of {subject} was lost: read back")
        os.write(self._acked, f"{ack.stream} {ack.sequence} {message_id or '-'} {subject}\n".encode())
        return ack

    async def consumer(self, *args: Any, **options: Any) -> Consumer:
        """The durable consumer; with `copies`, each message comes so often, and not in order."""
        consumer = await self._store.consumer(*args, **options)
        return Stutter(consumer, self._copies, self._chance) if self._copies > 1 else consumer


MOST_WAITING = 12
"""Messages and copies among which the order is mixed."""


class Stutter:
    """A `Consumer` that hands out every message several times, mixed with those that came around the same time."""

    def __init__(self, consumer: Consumer, copies: int, chance: random.Random) -> None:
        self._consumer = consumer
        self._copies = copies
        self._chance = chance
        self._waiting: list[Delivery] = []

    async def next(self, timeout: float) -> Delivery | None:
        """One of those at hand, whichever; while they are few, a fresh one is looked for first."""
        fresh = None
        if len(self._waiting) < MOST_WAITING:
            fresh = await self._consumer.next(0.05 if self._waiting else timeout)
        if fresh is not None:
            self._waiting += [fresh, *(Copy(fresh) for _ in range(self._copies - 1))]
            self._chance.shuffle(self._waiting)
        return self._waiting.pop() if self._waiting else None

    async def close(self) -> None:
        """Stop; copies that nobody took are dropped."""
        await self._consumer.close()


class Copy:
    """A redelivery: as the first one, but that what is said about it changes nothing at the server."""

    def __init__(self, first: Delivery) -> None:
        self.message = first.message
        self.attempts = first.attempts

    async def ack(self) -> None:
        """It is done."""

    async def retry(self, after: float = 0.0) -> None:
        """The first one says so, too."""

    async def give_up(self) -> None:
        """Never again."""

    async def working(self) -> None:
        """It takes longer."""


def points_in(data: bytes) -> Iterator[str]:
    """The types of the events in a journal entry; nothing if it is none."""
    try:
        yield from (event.type for event in _entry.decode(data).events)
    except msgspec.MsgspecError:
        return
