"""vulture: code that nothing reaches. It sees only the changed files, so it is believed only where they are enough."""

from __future__ import annotations

import asyncio
import re

from mesh.agents.review.analysers.tool import run_over
from mesh.agents.review.changes import FileChange
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Side, Workspace

_LINE = re.compile(r"(?P<path>.+?):(?P<line>\d+): (?P<message>.+) \((?P<sure>\d+)% confidence.*\)")
_KIND = re.compile(r"(unused|unreachable) (\w+)")
_NAME = re.compile(r"'([^']+)'")

CLEAN, DEAD, UNPARSED = 0, 3, 1
"""Exit codes: nothing found; something found; some file does not parse."""


def whole(file: FileChange) -> bool:
    """Python files of which every line is known."""
    return file.python and not file.partial


async def vulture(workspace: Workspace) -> Analysis:
    """Each side by itself: a use on one side must not excuse the other."""
    sides = await asyncio.gather(_one(workspace, "after"), _one(workspace, "before"))
    observations = tuple(seen for side in sides for seen in side.observations)
    return Analysis(
        observations=observations, notes=tuple(dict.fromkeys(note for side in sides for note in side.notes))
    )


async def _one(workspace: Workspace, side: Side) -> Analysis:
    files = workspace.files(side, whole)
    if not files:
        return Analysis()
    codes = (CLEAN, DEAD, UNPARSED)
    runs, notes = await run_over(workspace, "vulture", ["--min-confidence", "60"], files, accept=codes)
    matches = [_LINE.fullmatch(line) for ended in runs for line in ended.output.decode("utf-8", "replace").splitlines()]
    seen = (_seen(match) for match in matches if match and _believed(match["message"], int(match["sure"])))
    return Analysis(observations=tuple(seen), notes=notes)


def _believed(message: str, sure: int) -> bool:
    """Private names and what is dead by its place; a public name may well be used in a file that did not change.

    An argument (the only variable that vulture is sure of) may be there because a caller passes it.
    """
    kind = _KIND.match(message)
    name = _NAME.search(message)
    if kind is None or kind[2] == "attribute" or "'__" in message:
        return False
    if kind[2] == "variable":
        return False
    return sure >= 90 or bool(name and name[1].startswith("_"))


def _seen(match: re.Match[str]) -> Observation:
    kind = _KIND.match(match["message"])
    rule = "-".join(kind.groups()) if kind else "dead-code"
    return Observation(
        path=match["path"],
        line=int(match["line"]),
        rule=f"vulture:{rule}",
        message=match["message"][0].upper() + match["message"][1:],
        category="logic",
        severity="low",
        origin="vulture",
        confidence=min(0.95, int(match["sure"]) / 100),
    )
