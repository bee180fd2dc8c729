"""A disk whose fsync takes longer, for a server that runs: strace lets the server's fsyncs return late, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.benchmarks.rows import Skipped

ATTACHED_WITHIN = 10.0
_CALLS = "fsync,fdatasync,sync_file_range,msync"


@asynccontextmanager
async def slow_fsync(pid: int, seconds: float) -> AsyncIterator[None]:
    """Every fsync of the process takes so much longer.

    Raises:
        Skipped: strace is not installed, or may not attach here.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise Skipped("a slow disk is made with strace, which is not installed: apt-get install strace")
    process = await asyncio.create_subprocess_exec(
        strace, "-f", "--seccomp-bpf", "-p", str(pid), "-e", f"trace={_CALLS}",
        "-e", f"inject={_CALLS}:delay_exit={round(seconds * 1e6)}", "-o", "/dev/null",
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    try:
        await _attached(process)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()  # it lets go of the server
        await process.communicate()


async def _attached(process: Process) -> None:
    assert process.stderr is not None
    said = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(ATTACHED_WITHIN):
            while b"attached" not in said:
                line = await process.stderr.readline()
                said += line
                if not line:
                    break
    if b"attached" not in said:
        raise Skipped(
            f"strace may not attach to the server here: {said.decode(errors='replace').strip() or 'no answer'}"
        )
