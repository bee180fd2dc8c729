"""Reading a syntax tree: dotted names behind aliases, the nodes of one function alone, what a file binds."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class Names:
    """The full dotted names of what is called, however it was imported."""

    def __init__(self, tree: ast.AST) -> None:
        self._full: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._full.update({each.asname: each.name for each in node.names if each.asname})
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self._full.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})

    def of(self, node: ast.AST) -> str:
        """`subprocess.run` for whatever the file calls it; empty where it is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._full.get(node.id, node.id), *reversed(parts)])


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The argument given by that name."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def is_constant(node: ast.AST | None, value: object) -> bool:
    """Whether it is this very literal."""
    return isinstance(node, ast.Constant) and node.value is value


def text_of(node: ast.AST | None) -> str | None:
    """The text of a string literal."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def own_nodes(root: ast.AST) -> Iterator[ast.AST]:
    """The nodes below it that belong to its own scope: a nested function or class is named, not entered."""
    waiting = list(ast.iter_child_nodes(root))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Scope):
            waiting.extend(ast.iter_child_nodes(node))


def loaded(root: ast.AST) -> set[str]:
    """Every name that is read anywhere below it."""
    return {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def stored(root: ast.AST) -> set[str]:
    """Every name that a target of it binds."""
    return {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def parameters(arguments: ast.arguments) -> Iterator[ast.arg]:
    """Every parameter of a function."""
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from filter(None, (arguments.vararg, arguments.kwarg))


def bound(tree: ast.AST) -> set[str]:
    """Every name that is bound anywhere in the file, in whatever scope."""
    found = stored(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            found |= set(node.names)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
        elif type(node).__name__ in {"TypeVar", "ParamSpec", "TypeVarTuple"}:  # type parameters, from Python 3.12
            found.add(node.name)  # type: ignore[attr-defined]
    return found
