"""The ground a bench stands on: a real server, further processes, and rounds in random order.

A figure is a ratio of two things measured in the same run, in rounds that take turns: the machine is shared and its speed
drifts, so a time alone says little.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.benchmarks.nursery import Nursery
from tests.benchmarks.other import Other
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.series import Contender, Sample, Series
from tests.servers import RealServer

PAYLOAD = 1024
"""Bytes of payload in every bench that does not say otherwise."""


class Ground:
    """A server and everything a bench starts on it, all gone at its end. `quick` asks for fewer and shorter rounds."""

    def __init__(self, folder: Path, nursery: Nursery, *, quick: bool, seed: int) -> None:
        self.quick = quick
        self.folder = folder
        self.random = random.Random(seed)
        self._nursery = nursery
        self._server = RealServer(folder / "server")
        self._others: list[Other] = []

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._server.url

    @property
    def server_pid(self) -> int:
        """The server's process."""
        return self._server.pid

    async def crash_server(self) -> None:
        """`kill -9` the server, and start it again on its port and store; it accepts clients when this returns."""
        await asyncio.to_thread(self._server.restart)

    def pick(self, quick: int, full: int) -> int:
        """How many, in a quick run and in a full one."""
        return quick if self.quick else full

    async def __aenter__(self) -> Ground:
        await asyncio.to_thread(self._server.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*(other.close() for other in self._others))
        finally:
            await asyncio.to_thread(self._server.stop)

    async def other(self, module: str, *arguments: str) -> Other:
        """Another process running `async def main(url, *arguments)` of `tests.benchmarks.<module>`; ready when returned."""
        conversation = self._nursery.born(f"tests.benchmarks.{module}", self.url, *arguments)
        try:
            other = await Other.ready(conversation)
        except (RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"the process {' '.join((module, *arguments))} did not get ready: {error}") from error
        self._others.append(other)
        return other

    async def take_turns(self, rounds: int, **contenders: Contender) -> dict[str, Series]:
        """Every contender once a round, in random order, after one round that is not counted.

        Nobody pays for another's rubbish: it is collected before each turn. What stood before the first round (modules,
        connections) is left out of collections for all alike; the collector itself runs as it does for users.
        """
        found: dict[str, list[Sample]] = {name: [] for name in contenders}
        with _frozen():
            for number in range(rounds + 1):
                order = list(contenders)
                self.random.shuffle(order)
                for name in order:
                    gc.collect()
                    sample = await contenders[name]()
                    if number:
                        found[name].append(sample)
        return {name: Series(tuple(samples)) for name, samples in found.items()}

    def meter(self, *others: Other) -> Meter:
        """Starts counting processor time here, in `others` and in the server."""
        return Meter(os.getpid(), [other.pid for other in others], self.server_pid)


@contextmanager
def _frozen() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def there(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait until the condition holds: another process is known, say."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Meter:
    """Processor time since it was made."""

    def __init__(self, here: int, others: list[int], server: int) -> None:
        self._pids = (here, others, server)
        self._start = self._read()

    def sample(self, figure: float, operations: int) -> Sample:
        """The sample of a round that did so many operations."""
        here, there, server = (now - then for now, then in zip(self._read(), self._start, strict=True))
        return Sample(figure, here / operations, there / operations, server / operations)

    def _read(self) -> tuple[float, float, float]:
        here, others, server = self._pids
        return processor_seconds(here), sum(map(processor_seconds, others)), processor_seconds(server)
