"""How many ways there are through a function (McCabe), counted as radon counts them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mesh.agents.review.builtin.seen import Seen, at

SIMPLE_ENOUGH = 10


def check(tree: ast.Module) -> Iterator[Seen]:
    """The functions that have too many."""
    for name, function in _named(tree, ""):
        count = ways(function)
        if count > SIMPLE_ENOUGH:
            yield at(
                function, "complex-function",
                f"`{name}` has a cyclomatic complexity of {count}; {SIMPLE_ENOUGH} is the bound",
                "high" if count > 25 else "medium" if count > 15 else "low",
                confidence=0.9, subject=name, measure=float(count),
            )  # fmt: skip


def ways(function: ast.AST) -> int:
    """The cyclomatic complexity of a function. Functions and classes inside it count for themselves."""
    count, waiting = 1, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            count += _decisions(node)
            waiting.extend(ast.iter_child_nodes(node))
    return count


def _named(node: ast.AST, above: str) -> Iterator[tuple[str, ast.AST]]:
    """Every function under its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{above}{child.name}", child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _named(child, f"{above}{child.name}.")
        elif not isinstance(child, ast.expr):
            yield from _named(child, above)


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.If | ast.IfExp | ast.Lambda):
        return 1
    if isinstance(node, ast.For | ast.AsyncFor | ast.While):
        return 1 + bool(node.orelse)
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.Try):
        return len(node.handlers) + bool(node.orelse)
    return len(node.cases) - any(map(_catches_all, node.cases)) if isinstance(node, ast.Match) else 0


def _catches_all(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
