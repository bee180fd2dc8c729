"""What does not work in Python code, as far as one file shows it by itself.

Names are judged by the whole file and not by scopes: what is bound anywhere counts as bound. So a few mistakes are missed,
and what is reported is one.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from itertools import pairwise

from mesh.agents.review.builtin.seen import Seen, at, on
from mesh.agents.review.builtin.tree import Function, bound, functions, loaded, own_nodes, parameters, stored

_MAKERS = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
_KEEPERS = {"append", "add", "insert", "put", "register", "connect", "subscribe", "push", "add_done_callback"}
_ENDINGS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_IMPLIED = {"__file__", "__name__", "__doc__", "__path__", "__spec__", "__package__", "__loader__", "__builtins__"}
_KNOWN = {
    *dir(builtins),
    *_IMPLIED,
    "__class__",
    "__module__",
    "__qualname__",
    "__annotations__",
    "WindowsError",
    "reveal_type",
}
_TYPE_LIKE = re.compile(r"[A-Za-z_][\w.\[\], |]*")
_WORD = re.compile(r"[A-Za-z_]\w*")


def check(tree: ast.Module, *, package: bool) -> Iterator[Seen]:
    """Everything in a file. The imports of a `package`'s own file are how it passes names on."""
    for node in ast.walk(tree):
        yield from _node(node)
        for field in ("body", "orelse", "finalbody"):
            yield from _unreachable(getattr(node, field, None))
    for function in functions(tree):
        yield from _unused_variables(function)
    yield from _undefined(tree)
    if not package:
        yield from _unused_imports(tree)


def _node(node: ast.AST) -> Iterator[Seen]:
    if isinstance(node, ast.arguments):
        yield from _mutable_defaults(node)
    elif isinstance(node, ast.ExceptHandler):
        yield from _handler(node)
    elif isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names):
        yield on(node, "star-import", f"Nobody can tell which names `{node.module}` brings")
    elif isinstance(node, ast.Compare):
        yield from _comparison(node)
    elif isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
        yield at(node, "assert-on-tuple", "Asserting a tuple never fails", "high")
    elif isinstance(node, ast.Dict):
        yield from _repeated_keys(node)
    elif isinstance(node, ast.For | ast.AsyncFor):
        yield from _late_binding(node)
        yield from _unused_loop_variable(node)
    elif isinstance(node, ast.ListComp | ast.SetComp) and isinstance(node.elt, ast.Lambda):
        targets = set().union(*(stored(each.target) for each in node.generators))
        yield from _late(node.elt, targets)


def _mutable_defaults(node: ast.arguments) -> Iterator[Seen]:
    for default in (*node.defaults, *filter(None, node.kw_defaults)):
        made = isinstance(default, ast.Call) and isinstance(default.func, ast.Name) and default.func.id in _MAKERS
        if made or isinstance(default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
            yield at(default, "mutable-default", "This default is made once and shared by all calls")


def _handler(node: ast.ExceptHandler) -> Iterator[Seen]:
    raised = [each for each in own_nodes(node) if isinstance(each, ast.Raise)]
    if node.type is None and not any(each.exc is None for each in raised):
        yield on(node, "bare-except", "A bare `except` catches everything, KeyboardInterrupt too")
    for each in raised:
        if (
            each.exc is not None
            and each.cause is None
            and not (isinstance(each.exc, ast.Name) and each.exc.id == node.name)
        ):
            yield at(
                each,
                "raise-without-from",
                "It looks as if handling the first error had failed",
                "low",
            )


def _unused_loop_variable(loop: ast.For | ast.AsyncFor) -> Iterator[Seen]:
    used = set().union(*(loaded(each) for each in loop.body))
    if isinstance(loop.target, ast.Name) and loop.target.id not in used and not loop.target.id.startswith("_"):
        yield at(
            loop.target,
            "unused-loop-variable",
            f"`{loop.target.id}` is not used in the loop",
            "low",
        )


def _comparison(node: ast.Compare) -> Iterator[Seen]:
    for op, right in zip(node.ops, node.comparators, strict=True):
        if not isinstance(right, ast.Constant):
            continue
        if (
            isinstance(op, ast.Is | ast.IsNot)
            and isinstance(right.value, str | bytes | int | float)
            and not isinstance(right.value, bool)
        ):
            yield at(
                node, "is-literal", "`is` compares identity: whether this literal is the same object is chance", "high"
            )
        elif isinstance(op, ast.Eq | ast.NotEq) and right.value is None:
            yield at(node, "comparison-to-none", "Comparison with None by `==` asks the object's own opinion")


def _repeated_keys(node: ast.Dict) -> Iterator[Seen]:
    seen: set[tuple[type, object]] = set()
    for key in node.keys:
        if isinstance(key, ast.Constant):
            same = (type(key.value), key.value)
            if same in seen:
                yield at(
                    key,
                    "repeated-key",
                    f"The key {key.value!r} stands here twice; the last value wins",
                )
            seen.add(same)


def _late_binding(loop: ast.For | ast.AsyncFor) -> Iterator[Seen]:
    """Functions that are kept beyond their round of the loop, and read its variable when they are called."""
    targets = stored(loop.target)
    for statement in loop.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _KEEPERS:
                kept: list[ast.expr] = node.args
            elif isinstance(node, ast.Assign) and any(isinstance(each, ast.Subscript) for each in node.targets):
                kept = [node.value]
            else:
                continue
            for each in kept:
                yield from _late(each, targets)


def _late(node: ast.expr, targets: set[str]) -> Iterator[Seen]:
    if isinstance(node, ast.Lambda):
        own = {each.arg for each in parameters(node.args)}
        for name in sorted((loaded(node.body) & targets) - own):
            yield at(
                node,
                "late-binding",
                f"`{name}` is read when the function is called: every one of them sees its last value",
            )


def _unreachable(block: object) -> Iterator[Seen]:
    if isinstance(block, list):
        for one, following in pairwise(block):
            if isinstance(one, _ENDINGS) and not _makes_a_generator(following):
                yield at(following, "unreachable-code", "Nothing leads here: the statement above leaves the block")
                return


def _makes_a_generator(statement: ast.stmt) -> bool:
    """A `yield` that is never reached has its use."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield)


def _unused_variables(function: Function) -> Iterator[Seen]:
    used = loaded(function) | {
        name for node in ast.walk(function) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
    }
    used |= {
        node.target.id
        for node in ast.walk(function)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    if used & {"locals", "vars", "eval", "exec"}:
        return
    for statement in function.body:
        for node in (statement, *own_nodes(statement)) if not isinstance(statement, ast.ClassDef | Function) else ():
            for name in _plainly_assigned(node):
                if name not in used and not name.startswith("_"):
                    yield on(node, "unused-variable", f"`{name}` is assigned and never read", "low")


def _plainly_assigned(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        yield from (each.id for each in node.targets if isinstance(each, ast.Name))
    elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def _undefined(tree: ast.Module) -> Iterator[Seen]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    if any(each.name == "*" for node in imports for each in node.names):
        return
    known = bound(tree) | _KNOWN
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
            yield at(node, "undefined-name", f"Undefined name `{node.id}`", "high", confidence=0.85)


def _unused_imports(tree: ast.Module) -> Iterator[Seen]:
    used = loaded(tree) | _named_in_strings(tree) | stored(tree)
    guarded = {node for each in ast.walk(tree) if isinstance(each, ast.Try) for node in ast.walk(each)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or node in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        for each in node.names:
            name = (each.asname or each.name).partition(".")[0]
            if name not in used and each.name != "*" and each.asname != each.name:
                yield on(each, "unused-import", f"`{each.asname or each.name}` is imported and never used", "low")


def _named_in_strings(tree: ast.Module) -> set[str]:
    """Words in strings that may be types, or names that `__all__` passes on."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {word for text in texts if len(text) < 1000 and _TYPE_LIKE.fullmatch(text) for word in _WORD.findall(text)}
