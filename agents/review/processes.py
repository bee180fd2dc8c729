"""Running a program with an end: bounded time, bounded output, its own process group, an environment made from nothing.

git and every analyser go through here. The caller decides what a non-zero exit means.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STDERR_BYTES = 64_000
KILLED = 5.0
"""Seconds in which a program that was killed must be gone."""
CHUNK = 65_536
MEMORY = 4 * 1024**3
"""Bytes of address space for one program."""
CORES = os.cpu_count() or 1


class TooSlow(Exception):
    """The program did not end in time and was killed."""


class TooMuchOutput(Exception):
    """The program wrote more than allowed and was killed."""


@dataclass(frozen=True)
class Ended:
    """A program that has ended. `errors` is the start of what it wrote to stderr, decoded."""

    code: int
    output: bytes
    errors: str


def bare_environment(home: Path | str, **extra: str) -> dict[str, str]:
    """Only what a program needs to run: nothing that the caller's shell exports can change what it does."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        **extra,
    }


def python_module(name: str) -> list[str]:
    """The command that runs an installed module and nothing else: `-I` keeps the working folder off the import path."""
    return [sys.executable, "-I", "-X", "utf8", "-m", name]


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes = b"",
    max_output: int = 64_000_000,
) -> Ended:
    """Run a program to its end. When the caller is cancelled, the program and its children are killed.

    Raises:
        TooSlow · TooMuchOutput.
        FileNotFoundError: no such program.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    _limit(process.pid, timeout)
    try:
        async with asyncio.timeout(timeout):
            _, output, errors = await _all_of(
                _feed(process, stdin),
                _read(process.stdout, max_output, strict=True),
                _read(process.stderr, STDERR_BYTES),
            )
            code = await process.wait()
    except TimeoutError:
        raise TooSlow(f"{Path(argv[0]).name} did not finish within {timeout:g} s") from None
    finally:
        await _kill(process)
    return Ended(code, output, errors.decode("utf-8", "replace"))


def _limit(pid: int, timeout: float) -> None:
    """A program that a strange file drives mad ends by itself, not by taking the host's memory, nor by computing for ever when
    we are killed before we kill it. Where prlimit exists."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            seconds = math.ceil(timeout * CORES) + 1
            resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


async def _all_of(
    feed: Coroutine[Any, Any, None], output: Coroutine[Any, Any, bytes], errors: Coroutine[Any, Any, bytes]
) -> tuple[None, bytes, bytes]:
    """All three at once; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(feed), group.create_task(output), group.create_task(errors)
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return tasks[0].result(), tasks[1].result(), tasks[2].result()


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()


async def _read(stream: asyncio.StreamReader | None, limit: int, *, strict: bool = False) -> bytes:
    """Everything up to `limit` bytes; beyond it `strict` fails, otherwise the rest is read and thrown away."""
    assert stream is not None
    kept = bytearray()
    while chunk := await stream.read(CHUNK):
        if strict and len(kept) + len(chunk) > limit:
            raise TooMuchOutput(f"more than {limit} bytes of output")
        kept += chunk[: limit - len(kept)]
    return bytes(kept)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the whole group, whatever it has started; when it has ended by itself, nothing happens."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):  # whoever left the group may hold the pipes open: that is not waited for
        async with asyncio.timeout(KILLED):
            await asyncio.gather(_forget(process.stdout), _forget(process.stderr), process.wait())


async def _forget(stream: asyncio.StreamReader | None) -> None:
    """Read what is left: asyncio does not see the end of a process while a pipe of it is full."""
    while stream is not None and await stream.read(CHUNK):
        pass
