"""What is dangerous in Python code: what runs, loads, hashes, asks and trusts more than it should."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mesh.agents.review.builtin.seen import Seen, at, on
from mesh.agents.review.builtin.tree import Names, is_constant, keyword, text_of

_SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
_LOADERS = {
    f"{module}.{name}" for module in ("pickle", "marshal", "dill", "cloudpickle") for name in ("load", "loads")
} | {"shelve.open", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "jsonpickle.decode"}
_SAFE_YAML = ("SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader")
_WEAK = {"md5", "sha1", "md4"}
_REQUESTS = {f"requests.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head", "options", "request")}
_SQL = re.compile(r"\s*(select\s.+\sfrom\s|insert\s+into\s|delete\s+from\s|update\s+\S+\s+set\s)", re.I | re.S)
_ANYTHING = {"Exception", "BaseException"}


def check(tree: ast.Module) -> Iterator[Seen]:
    """Everything in a file."""
    names = Names(tree)
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _call(node, names)
        elif isinstance(node, ast.ExceptHandler):
            yield from _swallowed(node, names)
        elif is_text(node, "0.0.0.0"):
            yield at(node, "bind-all", "It listens on every address of the machine")
        if node not in inner:
            yield from _query(node)
            if isinstance(node, ast.BinOp | ast.JoinedStr):
                inner.update(ast.walk(node))


def is_text(node: ast.AST, text: str) -> bool:
    """Whether it is this string."""
    return isinstance(node, ast.Constant) and node.value == text


def _call(node: ast.Call, names: Names) -> Iterator[Seen]:
    name = names.of(node.func)
    first = node.args[0] if node.args else None
    if is_constant(keyword(node, "shell"), True) or (name in _SHELLS and text_of(first) is None):
        known = text_of(first) is not None
        yield at(
            node,
            "shell-injection",
            f"`{name or 'a call'}` runs its text in a shell",
            "high",
            confidence=0.5 if known else 0.85,
        )
    elif name in ("eval", "exec") and text_of(first) is None:
        yield at(node, "code-execution", f"`{name}` runs whatever the text says", "high", confidence=0.85)
    elif name in _LOADERS or (name in ("yaml.load", "yaml.load_all") and not _safe_yaml(node, names)):
        yield at(node, "unsafe-deserialisation", f"`{name}` builds any object that the data names", "high")
    elif (
        name.startswith("hashlib.")
        and _weak_hash(name, first)
        and not is_constant(keyword(node, "usedforsecurity"), False)
    ):
        yield at(node, "weak-hash", f"`{name}` is broken where it must resist an attacker")
    elif name in _REQUESTS and keyword(node, "timeout") is None and not any(each.arg is None for each in node.keywords):
        yield at(node, "no-timeout", f"`{name}` may wait for ever")
    elif name == "tempfile.mktemp":
        yield at(node, "insecure-temporary-file", "`tempfile.mktemp` gives a name that somebody else may take first")
    if is_constant(keyword(node, "verify"), False) or name == "ssl._create_unverified_context":
        yield at(node, "unverified-tls", "The server's certificate is not checked", "high")
    if isinstance(node.func, ast.Attribute) and node.func.attr == "run" and is_constant(keyword(node, "debug"), True):
        yield at(node, "debug-mode", "The application runs with its debugger on", "high")


def _safe_yaml(node: ast.Call, names: Names) -> bool:
    loader = keyword(node, "Loader") or (node.args[1] if len(node.args) > 1 else None)
    return loader is not None and names.of(loader).endswith(_SAFE_YAML)


def _weak_hash(name: str, first: ast.expr | None) -> bool:
    which = (text_of(first) or "").lower() if name == "hashlib.new" else name.removeprefix("hashlib.")
    return which in _WEAK


def _swallowed(node: ast.ExceptHandler, names: Names) -> Iterator[Seen]:
    anything = node.type is None or names.of(node.type) in _ANYTHING
    if anything and len(node.body) == 1 and isinstance(node.body[0], ast.Pass | ast.Continue):
        yield on(node, "swallowed-exception", "Every error is dropped here, expected or not", confidence=0.85)


def _query(node: ast.AST) -> Iterator[Seen]:
    text = _composed(node)
    if text is not None and _SQL.match(text):
        yield at(node, "sql-injection", "The text of a query is put together from values", "high", confidence=0.7)


def _composed(node: ast.AST) -> str | None:
    """The text that is put together here, its variable parts as `?`; None where nothing is."""
    if isinstance(node, ast.JoinedStr):
        parts = [text_of(each) for each in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [text_of(each) or _composed(each) for each in _operands(node)]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        parts = [text_of(node.left), None]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        parts = [text_of(node.func.value), None]
    else:
        return None
    if all(part is None for part in parts) or None not in parts:
        return None
    return "".join("?" if part is None else part for part in parts)


def _operands(node: ast.BinOp) -> list[ast.expr]:
    found: list[ast.expr] = []
    while isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Add):
        found.append(node.right)
        node = node.left
    return [node.left, node.right, *reversed(found)]
