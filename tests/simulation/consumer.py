"""One client's hand in a durable consumer: a pull for each caller, made anew when the connection or the server goes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Stored
from tests.simulation.client import SimulatedBus
from tests.simulation.server import SimulatedServer

MARGIN = 0.05
KEEP = 1.0
"""Seconds after which a message that nobody has asked for goes back."""
RETRY = 0.25


class SimulatedDelivery:
    """One message given to this client."""

    def __init__(self, bus: SimulatedBus, stream: str, durable: str, stored: Stored, attempts: int) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._stored = stored
        self._attempts = attempts

    @property
    def message(self) -> Stored:
        """What was stored."""
        return self._stored

    @property
    def attempts(self) -> int:
        """How many times it has been delivered, this one included."""
        return self._attempts

    async def ack(self) -> None:
        """It is done."""
        await self._say("ack")

    async def retry(self, after: float = 0.0) -> None:
        """Deliver it again, not before `after` seconds."""
        await self._say("retry", after)

    async def give_up(self) -> None:
        """Never deliver it again."""
        await self._say("give_up")

    async def working(self) -> None:
        """It takes longer."""
        await self._say("working")

    def give_back(self) -> None:
        """Nobody here has looked at it."""
        self._bus.tell("ask", self._bus.number(), self._work("retry", 0.0))

    async def _say(self, verb: str, *arguments: Any) -> None:
        await self._bus.ask("ask", self._work(verb, *arguments), what=f"{verb} to {self._durable}")

    def _work(self, verb: str, *arguments: Any) -> Any:
        stream, durable, sequence = self._stream, self._durable, self._stored.sequence

        def work(server: SimulatedServer) -> None:
            getattr(server.storage.durable(stream, durable), verb)(sequence, *arguments)

        return work


class SimulatedConsumer:
    """Pulls from a durable consumer, over reconnects."""

    def __init__(self, bus: SimulatedBus, stream: str, durable: str) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._changed = asyncio.Event()
        self._kept: deque[SimulatedDelivery] = deque()
        self._closed = False
        bus.waking(self._changed)

    async def next(self, timeout: float) -> SimulatedDelivery | None:
        """The next message, or None when none came within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        self._check()
        while True:
            if self._kept:
                return self._kept.popleft()
            left = end - loop.time()
            if left <= 0:
                return None
            self._changed.clear()
            self._check()
            if not self._bus.connected:
                await self._change(left)
                continue
            began = loop.time()
            found = await self._pull(left)
            if found is not None:
                return found
            if loop.time() - began < RETRY and loop.time() + RETRY < end:
                await asyncio.sleep(RETRY)  # the pull was refused: the store is away

    async def close(self) -> None:
        """Stop pulling. Again: nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        self._bus.not_waking(self._changed)
        while self._kept:
            self._kept.popleft().give_back()

    async def _pull(self, left: float) -> SimulatedDelivery | None:
        """One pull, until it is answered, its time is up, or the connection has changed."""
        loop = asyncio.get_running_loop()
        number = self._bus.number()
        answer: asyncio.Future[tuple[Stored, int] | None] = loop.create_future()
        heard = False

        def hear(item: tuple[Stored, int] | None) -> None:
            nonlocal heard
            self._bus.leave(number)
            if answer.done():
                if item is not None:
                    self._keep(item)
                return
            heard = True
            answer.set_result(item)

        self._bus.hear(number, hear)
        self._bus.tell("pull", number, self._stream, self._durable, max(left - MARGIN, left / 2))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((answer, change), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if answer.done() and (found := answer.result()) is not None:
                self._keep(found)
            raise
        finally:
            change.cancel()
            if not heard:
                answer.cancel()
                self._bus.tell("leave", number)  # what is on its way already is kept
        taken = answer.result() if heard else None
        return None if taken is None else self._delivery(taken)

    def _keep(self, item: tuple[Stored, int]) -> None:
        """Nobody waits for it right now."""
        delivery = self._delivery(item)
        if self._closed:
            delivery.give_back()
            return
        self._kept.append(delivery)
        asyncio.get_running_loop().call_later(KEEP, self._give_back, delivery)

    def _give_back(self, delivery: SimulatedDelivery) -> None:
        if delivery in self._kept:
            self._kept.remove(delivery)
            delivery.give_back()

    def _delivery(self, item: tuple[Stored, int]) -> SimulatedDelivery:
        return SimulatedDelivery(self._bus, self._stream, self._durable, *item)

    async def _change(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return

    def _check(self) -> None:
        self._bus.check_open()
        if self._closed:
            raise Unavailable(f"the consumer {self._durable} of {self._stream} is closed here")
