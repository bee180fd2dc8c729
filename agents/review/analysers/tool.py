"""Running one installed analysis tool over a workspace, and telling in words when it could not."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from mesh.agents.review.processes import Ended, TooMuchOutput, TooSlow, bare_environment, python_module, run
from mesh.agents.review.workspace import Workspace

TIMEOUT = 15.0
"""Seconds for one run of one tool."""

MAX_OUTPUT = 32_000_000


class ToolFailed(Exception):
    """A tool is missing, too slow, or broke; the message is meant for the review's notes."""


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
        ToolFailed: not installed, no end in time, too much output, or an exit code that `accept` does not list.
    """
    if not installed(module):
        raise ToolFailed(f"{module} is not installed here: pip install 'natsmesh[review]'")
    env = bare_environment(workspace.home)
    argv = [*python_module(module), *arguments]
    try:
        ended = await run(argv, cwd=workspace.root / cwd, env=env, timeout=timeout, max_output=MAX_OUTPUT)
    except (TooSlow, TooMuchOutput) as error:
        raise ToolFailed(f"{module}: {error}") from None
    if ended.code not in accept:
        said = " ".join(ended.errors.split())[-300:] or ended.output[:300].decode("utf-8", "replace")
        raise ToolFailed(f"{module} failed (exit {ended.code}): {said.replace(str(workspace.root), '')}")
    return ended
