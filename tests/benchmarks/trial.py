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
from contextlib import suppress
from pathlib import Path

import msgspec
import uvloop

from tests.benchmarks.forks import fork
from tests.benchmarks.ground import Ground
from tests.benchmarks.nursery import Nursery
from tests.benchmarks.results import Outcome
from tests.benchmarks.rows import Row, Skipped

GRACE = 15.0
"""Seconds a bench that was stopped has to end what it started."""


def attempt(name: str, module: str, *, quick: bool, seed: int, limit: float) -> Outcome:
    """Run a bench. Whatever it does comes back as an outcome; every process it started is gone."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mesh-bench-", ignore_cleanup_errors=True) as folder:
        answers, mouth = os.pipe()
        pid = fork(_bench, mouth, name, module, Path(folder), quick, seed, limit)
        os.close(mouth)
        try:
            answer = _hear(answers, limit + GRACE)
        finally:
            os.close(answers)
            _end(pid)
    seconds = time.perf_counter() - started
    if answer:
        return msgspec.structs.replace(msgspec.msgpack.decode(answer, type=Outcome), seconds=seconds)
    late = (
        f"it hung and was killed after {limit + GRACE:.0f} s" if seconds > limit else "its process ended without a word"
    )
    return Outcome(bench=name, seconds=seconds, broke=late)


def _hear(pipe: int, within: float) -> bytes:
    """What is written to the pipe until its end; nothing when that takes too long."""
    end, parts = time.monotonic() + within, []
    while (left := end - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            parts.append(os.read(pipe, 1 << 16))
            if not parts[-1]:
                return b"".join(parts)
    return b""


def _end(pid: int) -> None:
    """The bench leads a group of its own: all of it goes."""
    for kill in (os.killpg, os.kill):  # the latter where it has not yet made its group
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _bench(mouth: int, name: str, module: str, folder: Path, quick: bool, seed: int, limit: float) -> None:
    os.setsid()
    faulthandler.dump_traceback_later(limit + GRACE / 2)
    try:
        bench, nursery = importlib.import_module(module), Nursery()
        rows = uvloop.run(_measure(bench.bench, folder, nursery, quick=quick, seed=seed, limit=limit))
        outcome = Outcome(bench=name, rows=rows)
    except Skipped as reason:
        outcome = Outcome(bench=name, skipped=str(reason))
    except Exception:  # noqa: BLE001 - told in full; the other benches still run
        outcome = Outcome(bench=name, broke=traceback.format_exc())
    with open(mouth, "wb") as pipe:
        pipe.write(msgspec.msgpack.encode(outcome))


async def _measure(bench, folder: Path, nursery: Nursery, *, quick: bool, seed: int, limit: float) -> list[Row]:
    async with Ground(folder, nursery, quick=quick, seed=seed) as ground:
        try:
            async with asyncio.timeout(limit) as end:
                return await bench(ground)
        except TimeoutError as error:
            if end.expired():
                raise TimeoutError(f"it took longer than {limit:g} s and was stopped") from error
            raise
