"""One bench in a process of its own, so that it leaves nothing behind for the next one and can be stopped when it hangs."""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import os
import select
import signal
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import uvloop

from tests.benchmarks.forks import fork
from tests.benchmarks.ground import Ground
from tests.benchmarks.nursery import Nursery
from tests.benchmarks.results import Outcome
from tests.benchmarks.rows import Row, Skipped

GRACE = 1.5
"""How many times its limit a bench may take in all: when it was stopped at its limit, it ends what it started."""
_OUTCOME = "outcome"


def attempt(name: str, module: str, *, quick: bool, seed: int, limit: float) -> Outcome:
    """Run a bench. Whatever it does comes back as an outcome; every process it started is gone."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mesh-bench-", ignore_cleanup_errors=True) as folder:
        pid = fork(_bench, name, module, Path(folder), quick, seed, limit)
        try:
            in_time = _ends(pid, limit * GRACE)
        finally:
            _end(pid)
        seconds, said = time.perf_counter() - started, Path(folder, _OUTCOME)
        if said.exists():
            return msgspec.structs.replace(msgspec.msgpack.decode(said.read_bytes(), type=Outcome), seconds=seconds)
    reason = "its process ended without a word" if in_time else f"it hung and was killed after {seconds:.0f} s"
    return Outcome(bench=name, seconds=seconds, broke=reason)


def _ends(pid: int, within: float) -> bool:
    """Wait for the end of a process; whether it came in time."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], within)[0])
    finally:
        os.close(handle)


def _end(pid: int) -> None:
    """The bench leads a group of its own: all of it goes."""
    for kill in (os.killpg, os.kill):  # the latter where it has not yet made its group
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _bench(name: str, module: str, folder: Path, quick: bool, seed: int, limit: float) -> None:
    os.setsid()
    faulthandler.dump_traceback_later(limit * (1 + GRACE) / 2)
    nursery = Nursery()  # before anything is imported that may start a thread
    ground = Ground(folder, nursery, quick=quick, seed=seed)
    try:
        bench = importlib.import_module(module).bench
    except Exception as error:  # noqa: BLE001 - as below
        _leave(folder, _told(name, error))
    else:
        uvloop.run(_measure(name, bench, ground, limit))


async def _measure(name: str, bench: Callable[[Ground], Awaitable[list[Row]]], ground: Ground, limit: float) -> None:
    """What became of it is left behind before anything is ended: that may hang as well."""
    async with ground:
        try:
            async with asyncio.timeout(limit) as end:
                outcome = Outcome(bench=name, rows=await bench(ground))
        except Exception as error:  # noqa: BLE001 - told in full; the other benches still run
            if end.expired():
                error.add_note(f"it took longer than {limit:g} s and was stopped")
            outcome = _told(name, error)
        _leave(ground.folder, outcome)


def _told(name: str, error: Exception) -> Outcome:
    if isinstance(error, Skipped):
        return Outcome(bench=name, skipped=str(error))
    return Outcome(bench=name, broke="".join(traceback.format_exception(error)))


def _leave(folder: Path, outcome: Outcome) -> None:
    beside = folder / f"{_OUTCOME}.new"
    beside.write_bytes(msgspec.msgpack.encode(outcome))
    beside.rename(folder / _OUTCOME)
