"""`Seen`: one thing that a check saw, as it is printed."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """`rule` is the topic it is about; with a `subject`, `measure` is what counts (as in an `Observation`)."""

    rule: str
    line: int
    message: str
    severity: str = "medium"
    end_line: int = 0
    confidence: float = 0.8
    suggestion: str = ""
    subject: str = ""
    measure: float = 0.0


def at(node: ast.AST, rule: str, message: str, severity: str = "medium", **more: object) -> Seen:
    """What was seen at a node of the tree, on its lines."""
    line, end = node.lineno, node.end_lineno or 0  # type: ignore[attr-defined]
    return Seen(rule, line, message, severity, end_line=end, **more)  # type: ignore[arg-type]


def on(node: ast.AST, rule: str, message: str, severity: str = "medium", **more: object) -> Seen:
    """The same, on the node's first line alone: for blocks."""
    return Seen(rule, node.lineno, message, severity, **more)  # type: ignore[attr-defined,arg-type]
