"""The machine the figures come from, and whether it is quiet enough to believe them."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from tests.servers import server_binary

BUSY = 0.1
"""Share of the processors above which others are at work here. The load average tells of the last minute, of our own too."""
LOOK = 0.25
"""Seconds of looking at what others do."""
JITTER = 1.15
"""How much slower the slow tenth of equal pieces of work may be than the median before the clock counts as unsteady."""


def facts() -> dict[str, str | int]:
    """What a reader needs to judge the figures."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "nats-server": _server(),
        **{name: version(name) for name in ("nats-py", "uvloop", "msgspec")},
    }


def noise() -> str:
    """Why figures are noisy here at this moment; empty when the machine is quiet. Takes half a second."""
    before = _processors()
    time.sleep(LOOK)
    return ", ".join([*busy(before, _processors(), os.getloadavg()[0]), *unsteady([_piece() for _ in range(100)])])


def busy(before: tuple[int, int], after: tuple[int, int], load: float) -> list[str]:
    """What the idle and the whole time of the processors, before and after we slept, say of others: nothing when they rest."""
    idle, whole = (late - early for early, late in zip(before, after, strict=True))
    share = 1 - idle / whole if whole else 0.0
    return [f"others use {share:.0%} of the processors (load {load:.1f})"] if share > BUSY else []


def unsteady(times: list[float]) -> list[str]:
    """What equal pieces of work, which took these times, say of the clock: nothing when it is steady."""
    slow = statistics.quantiles(times, n=10)[-1] / statistics.median(times)
    return [f"the same work takes up to {slow:.1f}x as long"] if slow > JITTER else []


def _processors() -> tuple[int, int]:
    times = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return times[3] + times[4], sum(times)


def _piece() -> float:
    started = time.perf_counter()
    sum(range(100_000))
    return time.perf_counter() - started


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _server() -> str:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=False).stdout
    return said.strip().rpartition(" ")[2].lstrip("v")
