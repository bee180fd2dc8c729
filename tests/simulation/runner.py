"""Runs many seeds. Each runs in a process of its own, forked from one that has loaded everything.

So nothing that a seed leaves behind, a cache, a counter, memory in another order, reaches the next one: a seed gives alone what
it gives among a million. It also spares cleaning up after a simulation, whose processes were not asked whether they may end.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from tests.simulation.simulation import Outcome, simulate

TOO_LONG = 120.0
"""Real seconds after which a seed counts as hanging."""
TAIL = 60
"""Lines of the trace that are kept of a seed that failed."""

Simulate = Callable[[int], Outcome]


def isolated(seed: int, run: Simulate = simulate) -> Outcome:
    """Run one seed in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(seed, run, reading, writing)
    os.close(writing)
    data = _read(reading, child)
    os.waitpid(child, 0)
    if not data:
        return Outcome(seed, violation=f"it hung for {TOO_LONG:g} s, or its process died")
    return msgspec.convert(msgspec.json.decode(data), Outcome)


def _child(seed: int, run: Simulate, reading: int, writing: int) -> None:
    """Never returns: nothing that is suspended may be let go of."""
    code = 1
    try:
        os.close(reading)
        sys.unraisablehook = lambda _: None
        outcome = run(seed)
        if outcome.ok:
            outcome.trace = []
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.json.encode(outcome))
        code = 0
    finally:
        os._exit(code)


def _read(reading: int, child: int) -> bytes:
    parts, end = [], time.monotonic() + TOO_LONG
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                return b""
            part = pipe.read(65536)
            if not part:
                return b"".join(parts)
            parts.append(part)


def warm() -> None:
    """Load everything that a seed needs, once, and leave it out of every later collection."""
    isolated_free = simulate(1)
    assert isolated_free.steps
    gc.collect()
    gc.freeze()


def run_seeds(seeds: Iterable[int], jobs: int = 1, run: Simulate = simulate) -> Iterator[Outcome]:
    """The outcome of each, in the order in which they end."""
    waiting = iter(seeds)
    running: dict[int, tuple[int, int, float, list[bytes]]] = {}
    """By pipe: seed, process, when it must be over, and what it has said."""
    while True:
        while len(running) < jobs and (seed := next(waiting, None)) is not None:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                _child(seed, run, reading, writing)
            os.close(writing)
            running[reading] = (seed, child, time.monotonic() + TOO_LONG, [])
        if not running:
            return
        yield from _ended(running)


def _ended(running: dict[int, tuple[int, int, float, list[bytes]]]) -> Iterator[Outcome]:
    ready, _, _ = select.select(list(running), [], [], 1.0)
    now = time.monotonic()
    for reading in [pipe for pipe in running if pipe in ready or running[pipe][2] < now]:
        seed, child, end, parts = running[reading]
        part = os.read(reading, 1 << 20) if reading in ready else b""
        if part:
            parts.append(part)
            continue
        if reading not in ready:
            os.kill(child, signal.SIGKILL)
        del running[reading]
        os.close(reading)
        os.waitpid(child, 0)
        data = b"".join(parts)
        if data:
            yield msgspec.convert(msgspec.json.decode(data), Outcome)
        else:
            words = f"it ran for {now - end + TOO_LONG:.0f} s and said nothing: it hangs, or its process died"
            yield Outcome(seed, violation=words)
