"""Processor time of any process, from /proc: what an operation costs, whatever the clock on the wall says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def processor_seconds(pid: int) -> float:
    """Seconds on a processor that the threads of a process have had so far; nanosecond counts where the kernel keeps them."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    if not (threads[0] / "schedstat").exists():
        return _ticks(pid)
    total = 0
    for thread in threads:
        with suppress(FileNotFoundError):  # it ended meanwhile
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def _ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
