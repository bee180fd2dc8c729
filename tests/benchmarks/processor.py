"""Processor time of any process, from /proc: what an operation costs, whatever the clock on the wall says."""

from __future__ import annotations

from pathlib import Path


def processor_seconds(pid: int) -> float:
    """Seconds on a processor that the threads of a process have had so far; nanosecond counts where the kernel keeps them."""
    folder = Path(f"/proc/{pid}/task")
    try:
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in folder.iterdir()) / 1e9
    except FileNotFoundError:
        return _ticks(pid)


def _ticks(pid: int) -> float:
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
