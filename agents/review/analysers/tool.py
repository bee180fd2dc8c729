"""Running one installed analysis tool over a workspace, and telling in words when it could not."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mesh.agents.review.processes import Ended, TooMuchOutput, TooSlow, bare_environment, python_module, run
from mesh.agents.review.workspace import Workspace

INSTALL = "pip install 'natsmesh[review]'"
"""What to type where a tool is missing."""
TIMEOUT = 20.0
"""Seconds for one run of one tool over all files."""

SHORTEST = 2.0
"""Seconds for a run over a single file, at least."""

IN_ALL = 40.0
"""Seconds for all runs of one tool."""

MAX_OUTPUT = 32_000_000


MOST_RUNS = 24
"""Runs of one tool over one list of files, most of them looking for the file that it cannot stand."""


class ToolFailed(Exception):
    """A tool is missing, too slow, or broke; the message is meant for the review's notes."""


class ToolSlow(ToolFailed):
    """A tool did not end in time: one of the files may be to blame."""


class ToolCrashed(ToolFailed):
    """A tool ended as it should not: one of the files may be to blame."""


@contextmanager
def understood(module: str) -> Iterator[None]:
    """What a tool has printed is read in here: one that prints something else (another version of it, say) is a tool that
    failed, and the others go on.

    Raises:
        ToolFailed: it is not what this tool is known to print.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"[:200]
        raise ToolFailed(f"{module} printed what is not understood here ({said}): {INSTALL}") from error


def installed(module: str) -> bool:
    """Whether a tool can be run here at all. Imports nothing."""
    return importlib.util.find_spec(module) is not None


async def run_tool(
    workspace: Workspace,
    module: str,
    arguments: Sequence[str],
    *,
    accept: tuple[int, ...] = (0,),
    cwd: str = ".",
    timeout: float = TIMEOUT,
) -> Ended:
    """Run `python -I -m module` in the workspace.

    Raises:
        ToolFailed: not installed, not to be started, no end in time, too much output, or an exit code that `accept` does not list.
    """
    if not installed(module):
        raise ToolFailed(f"{module} is not installed here: {INSTALL}")
    env = bare_environment(workspace.home)
    argv = [*python_module(module), *arguments]
    try:
        ended = await run(argv, cwd=workspace.root / cwd, env=env, timeout=timeout, max_output=MAX_OUTPUT)
    except TooSlow:
        raise ToolSlow(f"{module} did not finish within {timeout:g} s") from None
    except OSError as error:
        raise ToolFailed(f"{module} could not be started: {error.strerror or error}") from None
    except TooMuchOutput as error:
        raise ToolFailed(f"{module} wrote {error}") from None
    if ended.code not in accept:
        said = " ".join(ended.errors.split())[-300:] or ended.output[:300].decode("utf-8", "replace")
        raise ToolCrashed(f"{module} failed (exit {ended.code}): {said.replace(str(workspace.root), '')}")
    return ended


async def run_over(
    workspace: Workspace,
    module: str,
    arguments: Sequence[str],
    files: Sequence[str],
    *,
    accept: tuple[int, ...] = (0,),
    cwd: str = ".",
    prefix: str = "",
    until: float | None = None,
) -> tuple[list[Ended], tuple[str, ...]]:
    """Run a tool over files. Where it crashes or does not end, the files are halved, and the time with them, until the one
    that it cannot stand is found and left out: one strange file must not keep the others from being read.

    Gives what came out, and a note for each file left out; `prefix` makes their names those of the workspace. It ends `until`
    a time of the loop; where none is given, `IN_ALL` seconds from now.

    Raises:
        ToolFailed: as `run_tool`, where nothing at all could be read.
    """
    waiting = [list(files)]
    ended: list[Ended] = []
    left_out: list[str] = []
    why: ToolFailed | None = None
    loop = asyncio.get_running_loop()
    until = loop.time() + IN_ALL if until is None else until
    while waiting and loop.time() < until and len(ended) + len(left_out) < MOST_RUNS:
        some = waiting.pop()
        timeout = max(SHORTEST, min(TIMEOUT * len(some) / len(files), until - loop.time()))
        try:
            ended.append(
                await run_tool(workspace, module, [*arguments, *some], accept=accept, cwd=cwd, timeout=timeout)
            )
        except (ToolCrashed, ToolSlow) as error:
            if len(files) == 1:
                raise
            why = error
            if len(some) == 1:
                left_out += some
            else:
                middle = len(some) // 2
                waiting += [some[middle:], some[:middle]]
    left_out += [name for some in waiting for name in some]
    if not ended:
        raise ToolCrashed(f"{module} could read none of {len(files)} files: {why}")
    original = dict.fromkeys(_original(workspace, prefix + name) for name in left_out)
    return ended, tuple(f"{module} could not read {path}" for path in original)


def _original(workspace: Workspace, name: str) -> str:
    file = workspace.change(name)
    return file.path if file else name
