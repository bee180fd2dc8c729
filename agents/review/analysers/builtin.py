"""The built-in checks: what Python's own parser shows, in a process of its own like every other tool.

For installations without the extra `review`. Of a patch alone, what needs the whole file is not asked.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.agents.review.analysers.bandit import python
from mesh.agents.review.analysers.tool import run_over
from mesh.agents.review.analysers.vulture import whole
from mesh.agents.review.changes import FileChange
from mesh.agents.review.findings import Category
from mesh.agents.review.observation import Analyser, Analysis, Observation
from mesh.agents.review.workspace import Workspace

MODULE = "mesh.agents.review.builtin"
NEEDS_WHOLE = {
    "undefined-name",
    "unused-import",
    "unused-variable",
    "syntax-error",
    "no-newline-at-end",
    "import-order",
}


def any_text(file: FileChange) -> bool:
    """Every file: secrets stand in any kind."""
    return True


_SUITS = {"security": any_text, "logic": python, "complexity": whole, "style": python}


def builtin(part: Category) -> Analyser:
    """The checks of one part of a review."""

    async def look(workspace: Workspace) -> Analysis:
        files = [*workspace.files("after", _SUITS[part]), *workspace.files("before", _SUITS[part])]
        if not files:
            return Analysis()
        runs, notes = await run_over(workspace, MODULE, [part], files)
        rows = [msgspec.json.decode(line) for ended in runs for line in ended.output.splitlines()]
        unread = {row["path"]: row["unread"] for row in rows if "unread" in row}
        observations = (_seen(part, row) for row in rows if "unread" not in row and _can_tell(workspace, row))
        return Analysis(observations=tuple(observations), notes=(*notes, *_notes(workspace, part, unread)))

    return look


def _can_tell(workspace: Workspace, row: dict[str, Any]) -> bool:
    file = workspace.change(row["path"])
    return row["rule"] not in NEEDS_WHOLE or (file is not None and not file.partial)


def _seen(part: Category, row: dict[str, Any]) -> Observation:
    return msgspec.convert(
        {**row, "rule": f"builtin:{row['rule']}", "category": part, "origin": "builtin"}, Observation
    )


def _notes(workspace: Workspace, part: Category, unread: dict[str, str]) -> tuple[str, ...]:
    """The after side only: what was there before is nobody's concern now."""
    files = {path: workspace.change(path) for path in sorted(unread) if workspace.side(path) == "after"}
    return tuple(
        f"{file.path} was not checked for {part}: {unread[path]}"
        for path, file in files.items()
        if file is not None and not file.partial
    )
