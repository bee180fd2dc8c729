"""`ProcessMark`: a pid that cannot be mistaken for a later process of the same number.

Records on disk outlive processes and pids come again, so whoever reads a pid from a file checks the start time with it,
and signals through a pidfd where the system has them.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import msgspec

from mesh.server.waiting import wait_until


class ProcessMark(msgspec.Struct, frozen=True, kw_only=True):
    """One process: its pid and when it started (opaque; the boot is part of it)."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs, or still holds something while it ends; a zombie does not."""
        return mark_of(self.pid) == self

    def signal(self, number: signal.Signals) -> bool:
        """Send the signal to this very process; False when it is gone already.

        Raises:
            PermissionError: it belongs to somebody else.
        """
        handle = _open(self.pid)
        try:
            if not self.alive:
                return False
            if handle is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            if handle is not None:
                os.close(handle)
        return True

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; blocks. Whether it has."""
        handle = _open(self.pid)
        if handle is None:
            return bool(wait_until(lambda: not self.alive, timeout))
        try:
            if self.alive:
                ended = select.poll()
                ended.register(handle, select.POLLIN)
                ended.poll(max(timeout, 0.0) * 1000)
            return not self.alive
        finally:
            os.close(handle)


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of the process that has this pid now; None when there is none, or only its zombie."""
    if pid <= 0:
        return None
    started = _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)
    return ProcessMark(pid=pid, started=started) if started else None


def _from_proc(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    state, threads, ticks = fields[0], fields[17], fields[19]
    holds_on = state == "Z" and int(threads) > 1  # while its other threads end, it has its files and ports
    return "" if state in "ZX" and not holds_on else f"{_boot()}-{ticks}"


def _from_ps(pid: int) -> str:
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5
    )
    state, _, started = found.stdout.strip().partition(" ")
    return "" if not state or state.startswith("Z") else started.strip()


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8]
    except OSError:
        return "boot"


def _open(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
