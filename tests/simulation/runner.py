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
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import msgspec
import tenacity  # noqa: F401 - as with the next: a process loads it with its first call that is repeated; once is enough

import mesh.jobs.host  # noqa: F401 - a process loads it when it hosts its first workflow
from tests.simulation.configuration import Configuration
from tests.simulation.simulation import Outcome, simulate

TOO_LONG = 120.0
"""Real seconds after which a seed counts as hanging."""

QUIET = 3
"""A seed whose processes do all there is to do."""

Simulate = Callable[[int], Outcome]


def isolated(seed: int, run: Simulate = simulate) -> Outcome:
    """Run one seed in a forked process."""
    return next(run_seeds([seed], 1, run))


def _child(seed: int, run: Simulate, reading: int, writing: int) -> None:
    """Never returns: nothing that is suspended may be let go of."""
    code = 1
    try:
        os.close(reading)
        _silence()
        outcome = run(seed)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.json.encode(outcome))
        code = 0
    finally:
        os._exit(code)


def run_seeds(seeds: Iterable[int], jobs: int = 1, run: Simulate = simulate) -> Iterator[Outcome]:
    """The outcome of each, in the order in which they end."""
    _warm()
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


@cache
def _warm() -> None:
    """Run a quiet seed here, once, for those who are forked: they find every module loaded, and an interpreter that knows the
    code. What they share with it they need not copy; a seed that comes after another is the same (`test_simulation.py`)."""
    gc.collect()
    gc.disable()  # what the quiet seed leaves suspended stays so
    _silence()
    signal.alarm(int(TOO_LONG))
    simulate(QUIET, change=_quiet)
    signal.alarm(0)
    gc.freeze()  # what is here is never looked at again


def _quiet(made: Configuration) -> None:
    made.faults, made.chaos, made.looks_back = (), 0.5, False


def _silence() -> None:
    """What a dead process left unawaited is none of its business any more."""
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")


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
