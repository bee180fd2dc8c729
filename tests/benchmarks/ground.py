"""The ground a bench stands on: a real server, further processes, and rounds in random order.

A figure is a ratio of two things measured in the same run, in rounds that take turns: the machine is shared and its speed
drifts, so a time alone says little.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import msgspec

from tests.benchmarks.processor import processor_seconds
from tests.servers import RealServer

READY_WITHIN = 30.0
PAYLOAD = 1024
"""Bytes of payload in every bench that does not say otherwise."""
REPOSITORY = Path(__file__).parents[2]


class Sample(msgspec.Struct, frozen=True):
    """One round of one contender: the figure (an operation's seconds, or operations a second), and processor seconds an
    operation in this process, in the others, and in the server."""

    figure: float
    here: float = 0.0
    there: float = 0.0
    server: float = 0.0


Contender = Callable[[], Awaitable[Sample]]


class Series(msgspec.Struct, frozen=True):
    """The samples of one contender, round by round."""

    samples: tuple[Sample, ...]

    @property
    def median(self) -> float:
        """The median figure."""
        return statistics.median(sample.figure for sample in self.samples)

    def ratio(self, base: Series) -> tuple[float, float, float]:
        """Median, least and most of this series over `base`, round by round."""
        found = [mine.figure / its.figure for mine, its in zip(self.samples, base.samples, strict=True)]
        return statistics.median(found), min(found), max(found)

    def processor(self) -> str:
        """Processor microseconds an operation, for people: here, in the other processes, in the server."""
        parts = (("here", "here"), ("there", "there"), ("server", "server"))
        medians = [(words, statistics.median(getattr(each, name) for each in self.samples)) for name, words in parts]
        return ", ".join(f"{words} {seconds * 1e6:.0f} µs" for words, seconds in medians if seconds)


class Other:
    """Another process of a bench. It runs `main(url, *arguments)` of a module and has said that it is ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def say(self, line: str) -> str:
        """Write a line to it and return the line it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        answer = await asyncio.wait_for(self._process.stdout.readline(), READY_WITHIN)
        return answer.decode().rstrip("\n")

    def kill(self) -> None:
        """`kill -9`."""
        if self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """Close its stdin, which it takes for the end; kill it when it does not go."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Ground:
    """A server and everything a bench starts on it, all gone at its end. `quick` asks for fewer and shorter rounds."""

    def __init__(self, folder: Path, *, quick: bool, seed: int) -> None:
        self.quick = quick
        self.random = random.Random(seed)
        self._server = RealServer(folder / "server")
        self._ends = AsyncExitStack()
        self._others: list[Other] = []

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._server.url

    @property
    def server_pid(self) -> int:
        """The server's process."""
        return self._server.pid

    def pick(self, quick: int, full: int) -> int:
        """How many, in a quick run and in a full one."""
        return quick if self.quick else full

    async def __aenter__(self) -> Ground:
        await asyncio.to_thread(self._server.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for other in self._others:
            await other.close()
        await asyncio.to_thread(self._server.stop)

    async def other(self, module: str, *arguments: str) -> Other:
        """Another process running `async def main(url, *arguments)` of `tests.benchmarks.<module>`; ready when returned."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.benchmarks.other_process", f"tests.benchmarks.{module}", self.url, *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
        )  # fmt: skip
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN)
        if line != b"ready\n":
            process.kill()
            await process.wait()
            raise RuntimeError(f"{module} {' '.join(arguments)} did not get ready: it said {line!r}")
        self._others.append(Other(process))
        return self._others[-1]

    async def take_turns(self, rounds: int, **contenders: Contender) -> dict[str, Series]:
        """Every contender once a round, in random order, after one round that is not counted."""
        found: dict[str, list[Sample]] = {name: [] for name in contenders}
        for number in range(rounds + 1):
            order = list(contenders)
            self.random.shuffle(order)
            for name in order:
                sample = await contenders[name]()
                if number:
                    found[name].append(sample)
        return {name: Series(tuple(samples)) for name, samples in found.items()}

    def meter(self, *others: Other) -> Meter:
        """Starts counting processor time here, in `others` and in the server."""
        return Meter(os.getpid(), [other.pid for other in others], self.server_pid)


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
