"""Reads files of one part of a review, and prints what it saw: a JSON object a line.

`{"path": …, "rule": …, "line": …, "message": …, …}`, or `{"path": …, "unread": why}` for a file that cannot be parsed.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from mesh.agents.review.builtin import complexity, logic, secrets, security, style
from mesh.agents.review.builtin.seen import Seen

PYTHON = (".py", ".pyi", ".pyw")
_MEANT = re.compile(r"#\s*(?:noqa|nosec|type:\s*ignore)\b", re.I)
"""Its author says, on the line, that it is meant so."""
TOO_DEEP = (RecursionError, MemoryError)


def seen(part: str, path: str, text: str) -> Iterator[Seen]:
    """What there is to see in one file.

    Raises:
        SyntaxError · ValueError · RecursionError · MemoryError: it cannot be parsed; text is looked at all the same.
    """
    python = path.endswith(PYTHON)
    if part == "security":
        yield from secrets.check_text(text, python=python)
    elif part == "style" and python:
        yield from style.check_lines(text.split("\n"))
    if not python:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    if part == "security":
        yield from security.check(tree)
        yield from secrets.check_python(tree)
    elif part == "logic":
        yield from logic.check(tree, package=path.endswith("__init__.py"))
    elif part == "complexity":
        yield from complexity.check(tree)
    elif part == "style":
        yield from style.check(tree)


def rows(part: str, path: str) -> Iterator[dict[str, object]]:
    """One file's lines of output."""
    text = Path(path).read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    try:
        lines = text.split("\n")
        for each in seen(part, path, text):
            if not _MEANT.search(lines[each.line - 1]):
                yield {"path": path, **dataclasses.asdict(each)}
    except SyntaxError as error:
        if part == "logic":
            broken = Seen(
                "syntax-error", max(1, error.lineno or 1), f"Syntax error: {error.msg}", "critical", confidence=0.95
            )
            yield {"path": path, **dataclasses.asdict(broken)}
        else:
            yield {"path": path, "unread": "it does not parse"}
    except ValueError:
        yield {"path": path, "unread": "it is no Python source"}
    except TOO_DEEP:
        yield {"path": path, "unread": "it is nested too deeply"}


def main(part: str, *paths: str) -> None:
    """Read the files, one after the other."""
    for path in paths:
        for row in rows(part, path):
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
