"""Messages that all hosts share are pulled for as long as the process takes part, and leaving has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.jobs.intake.pulling import FINISH_WITHIN, Again, Pulling
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Clock, Stored

pytestmark = pytest.mark.virtual


class Message:
    """One delivery, and what was said of it."""

    def __init__(self, number: int) -> None:
        self.message = Stored("s", b"", number, 0.0)
        self.attempts = 1
        self.said = ""

    async def ack(self) -> None:
        self.said = "acked"

    async def retry(self, delay: float) -> None:
        self.said = "again"


class Line:
    """A consumer of these messages; an error stands for a pull that fails."""

    def __init__(self, clock: Clock, *given: Message | Exception) -> None:
        self.clock = clock
        self.given = list(given)
        self.closed = False

    async def next(self, timeout: float) -> Any:
        if not self.given:
            await self.clock.sleep(timeout)
            return None
        found = self.given.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        self.closed = True


def pulling(line: Line, handle: Callable[[Any], Awaitable[Again | None]]) -> Pulling:
    return Pulling(line, line.clock, handle, what="a test")  # type: ignore[arg-type]


async def fine(_: Any) -> None:
    return None


@pytest.mark.parametrize("error", [Unavailable("away"), RuntimeError("a bug")])
async def test_a_pull_that_fails_is_not_the_last_whatever_it_failed_with(clock: Clock, error: Exception) -> None:
    message = Message(1)
    line = Line(clock, error, message)
    pulled = pulling(line, fine)
    await clock.sleep(1)
    assert message.said == "acked"
    await pulled.close()


async def test_what_is_in_hand_is_finished_before_the_process_leaves(clock: Clock) -> None:
    message = Message(1)

    async def slow(_: Any) -> None:
        await clock.sleep(FINISH_WITHIN / 2)

    line = Line(clock, message)
    pulled = pulling(line, slow)
    await clock.sleep(0.1)
    await pulled.close()
    assert (message.said, line.closed) == ("acked", True)


async def test_what_cannot_be_finished_is_left_to_others_and_keeps_nobody_from_leaving(clock: Clock) -> None:
    """As of a child whose parent is to be told, while the store is away."""
    message, began = Message(1), clock.monotonic()

    async def forever(_: Any) -> None:
        await asyncio.Event().wait()

    line = Line(clock, message)
    pulled = pulling(line, forever)
    await clock.sleep(0.1)
    async with asyncio.timeout(10 * FINISH_WITHIN):
        await pulled.close()
    assert clock.monotonic() - began < 2 * FINISH_WITHIN
    assert (message.said, line.closed) == ("", True), "not acked: it comes to another process"
