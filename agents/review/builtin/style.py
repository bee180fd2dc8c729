"""What does not look like other Python code. By PEP 8 with lines of 120; a repository's own settings are not read here."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise

from mesh.agents.review.builtin.seen import Seen, at, on
from mesh.agents.review.builtin.tree import Function, is_constant, parameters

WIDTH = 120

_SNAKE = re.compile(r"_*[a-z0-9_]*|_*[A-Z0-9_]+")
_CAMEL = re.compile(r"_*[A-Z][A-Za-z0-9]*")
_OLD_NAMES = {
    "Dict": "dict", "FrozenSet": "frozenset", "List": "list", "Set": "set", "Tuple": "tuple", "Type": "type",
}  # fmt: skip
_KEPT_NAMES = {"setUp", "tearDown", "setUpClass", "tearDownClass", "setUpModule", "tearDownModule", "maxDiff"}


def check_lines(lines: list[str]) -> Iterator[Seen]:
    """Lines as they stand: too long, or ending in blanks."""
    for number, line in enumerate(lines, 1):
        bare = line.removesuffix("\r")
        if len(bare) > WIDTH and "://" not in bare and "noqa" not in bare:
            yield Seen("line-too-long", number, f"{len(bare)} characters in a line; {WIDTH} are the bound", "info")
        if bare != bare.rstrip():
            yield Seen("trailing-whitespace", number, "Blanks at the end of the line", "info")
    if lines and lines[-1]:
        yield Seen("no-newline-at-end", len(lines), "No newline at the end of the file", "info")


def check(tree: ast.Module) -> Iterator[Seen]:
    """What the tree shows."""
    yield from _import_order(tree)
    old = {
        name.asname or name.name: name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "typing"
        for name in node.names
        if name.name in _OLD_NAMES
    }
    for node in ast.walk(tree):
        yield from _names(node)
        yield from _block(getattr(node, "body", None))
        yield from _old_typing(node, old)
        yield from _roundabout(node)


def _names(node: ast.AST) -> Iterator[Seen]:
    if isinstance(node, Function):
        if not _SNAKE.fullmatch(node.name) and node.name not in _KEPT_NAMES and not node.name.startswith("visit_"):
            yield on(node, "function-name", f"The function `{node.name}` should be named in lower case", "low")
        for each in parameters(node.args):
            if not _SNAKE.fullmatch(each.arg):
                yield at(each, "argument-name", f"The argument `{each.arg}` should be named in lower case", "low")
    elif isinstance(node, ast.ClassDef):
        if not _CAMEL.fullmatch(node.name):
            yield on(node, "class-name", f"The class `{node.name}` should be named in CapWords", "low")
        if any(isinstance(each, ast.Name) and each.id == "object" for each in node.bases):
            yield on(node, "needless-object", "Every class is derived from `object`", "low")


def _block(body: object) -> Iterator[Seen]:
    """Statements that share a line, and a `pass` beside others."""
    if not isinstance(body, list):
        return
    for one, other in pairwise(body):
        if other.lineno == (one.end_lineno or one.lineno):
            yield at(other, "several-statements", "Several statements in one line", "low")
    for each in body if len(body) > 1 else ():
        if isinstance(each, ast.Pass):
            yield at(each, "needless-pass", "This `pass` does nothing", "low")


def _old_typing(node: ast.AST, old: dict[str, str]) -> Iterator[Seen]:
    if isinstance(node, ast.ImportFrom) and node.module == "typing":
        for each in node.names:
            if each.name in _OLD_NAMES:
                yield on(
                    node, "old-typing", f"`typing.{each.name}` is out of use: write `{_OLD_NAMES[each.name]}`", "info"
                )
    elif isinstance(node, ast.Name) and node.id in old and isinstance(node.ctx, ast.Load):
        yield at(node, "old-typing", f"Write `{_OLD_NAMES[old[node.id]]}` instead of `{node.id}`", "info")


def _roundabout(node: ast.AST) -> Iterator[Seen]:
    if isinstance(node, ast.If) and len(node.orelse) == 1:
        returned = [_returned(node.body), _returned(node.orelse)]
        if any(is_constant(returned[0], a) and is_constant(returned[1], not a) for a in (True, False)):
            yield at(node, "needless-bool", "Return the condition itself", "low")
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        if any(is_constant(each, value) for each in node.comparators for value in (True, False)):
            yield at(node, "comparison-to-bool", "A truth value needs no comparison", "low")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Compare):
        if len(node.operand.ops) == 1 and isinstance(node.operand.ops[0], ast.In | ast.Is):
            yield at(node, "not-in", "Write `not in` or `is not`", "low")
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
        yield at(node, "lambda-assignment", "A function that has a name should be a `def`", "low")
    elif isinstance(node, ast.Import) and len(node.names) > 1:
        yield at(node, "multiple-imports", "One import a line", "info")


def _returned(block: list[ast.stmt]) -> ast.expr | None:
    return block[0].value if len(block) == 1 and isinstance(block[0], ast.Return) else None


def _import_order(tree: ast.Module) -> Iterator[Seen]:
    """Neighbouring `import x` lines of one section, of which one stands after another that it should precede."""
    block: list[ast.Import] = []
    for node in [*tree.body, ast.Pass(lineno=-1)]:
        if isinstance(node, ast.Import) and (not block or _follows(block[-1], node)):
            block.append(node)
            continue
        if (names := [each.names[0].name.lower() for each in block]) != sorted(names):
            yield Seen(
                "import-order", block[0].lineno, "These imports are not in order", "info", end_line=block[-1].lineno
            )
        block = [node] if isinstance(node, ast.Import) else []


def _follows(one: ast.Import, other: ast.Import) -> bool:
    ours = [each.names[0].name.partition(".")[0] in sys.stdlib_module_names for each in (one, other)]
    return other.lineno == (one.end_lineno or 0) + 1 and ours[0] == ours[1]
