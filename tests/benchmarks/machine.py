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

LOAD_A_CORE = 0.4
"""Load average a core above which others are at work here."""
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
    """Why figures are noisy here at this moment; empty when the machine is quiet. Takes a quarter of a second."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    found = [f"load {load:.1f} on {cores} cores"] if load > LOAD_A_CORE * cores else []
    return ", ".join([*found, *unsteady([_piece() for _ in range(100)])])


def unsteady(times: list[float]) -> list[str]:
    """What equal pieces of work, which took these times, say of the clock: nothing when it is steady."""
    slow = statistics.quantiles(times, n=10)[-1] / statistics.median(times)
    return [f"the same work takes up to {slow:.1f}x as long"] if slow > JITTER else []


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
