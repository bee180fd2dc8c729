"""Which of the reviewed repository's ruff settings are honoured: declarative ones, from inside it, that ruff accepts.

A file is copied into the workspace as it is, where ruff finds it by itself. Refused, with a note: what is not TOML, and
what extends a file that is not one of those copied (ruff would read anything that `extend` names, home folders and
environment variables included).
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from mesh.agents.review.workspace import Workspace, plain_folder

Table = dict[str, Any]

_MOST_DOTS = 200
"""In one line: a key of many parts takes the parser the square of their number, minutes for a small file."""


def lay_out(workspace: Workspace, select: Sequence[str], parsed: dict[str, Table]) -> list[str]:
    """Write the settings that may be honoured beside both sides, and ours above them. What was refused comes back."""
    rules = ", ".join(f'"{rule}"' for rule in select)
    (workspace.root / "ruff.toml").write_text(f"line-length = 120\n[lint]\nselect = [{rules}]\n")
    notes = []
    for path, table in parsed.items():
        reason = _refused(path, table, parsed)
        if reason:
            notes.append(f"{path} was not honoured: {reason}")
            continue
        for side in ("after", "before"):
            target = workspace.root / side / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_source(workspace, path))
    _first_party(workspace)
    return notes


def _source(workspace: Workspace, path: str) -> bytes:
    return next(workspace.blobs[each.digest] for each in workspace.changes.settings if each.path == path)


def read(workspace: Workspace) -> tuple[dict[str, Table], list[str]]:
    """The ruff table of every settings file that has one, by path; a note for each that cannot be read. For a thread: it may
    take seconds, and writes nothing."""
    tables: dict[str, Table] = {}
    notes: list[str] = []
    for each in workspace.changes.settings:
        if not plain_folder(str(PurePosixPath(each.path).parent)) or each.digest not in workspace.blobs:
            continue
        data = workspace.blobs[each.digest]
        if any(line.count(b".") > _MOST_DOTS for line in data.split(b"\n")):
            notes.append(f"{each.path} was not honoured: a line of it has more than {_MOST_DOTS} dots")
            continue
        try:
            whole = tomllib.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):  # a number of too many digits is no TOMLDecodeError
            notes.append(f"{each.path} was not honoured: it is not valid TOML")
            continue
        tools = whole.get("tool")
        own = tools.get("ruff") if isinstance(tools, dict) else None
        table = own if each.path.endswith("pyproject.toml") else whole
        if isinstance(table, dict):
            tables[each.path] = table
    return tables, notes


def _refused(path: str, table: Table, known: dict[str, Table]) -> str:
    """Why a settings file is refused, or nothing. `extend` may only name another file that is copied."""
    seen = {path}
    while "extend" in table:
        target = table["extend"]
        if not isinstance(target, str) or target.startswith(("/", "~")) or "$" in target:
            return f"it extends {target!r}, which is not a path inside the repository"
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if path not in known or path in seen:
            return f"it extends {target!r}, which is not among the settings that a review reads"
        seen.add(path)
        table = known[path]
    return ""


def _first_party(workspace: Workspace) -> None:
    """Empty folders for the repository's own packages, by whose presence ruff tells them from installed ones."""
    for side in ("after", "before"):
        for name in workspace.changes.first_party:
            if plain_folder(name) and not (workspace.root / side / f"{name}.py").exists():
                (workspace.root / side / name).mkdir(parents=True, exist_ok=True)
