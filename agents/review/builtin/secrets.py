"""Secrets in the source: names that say so with a value beside them, and tokens whose form is known. Any kind of file.

What is found is never printed: only where it stands, and what it seems to be.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mesh.agents.review.builtin.seen import Seen, at
from mesh.agents.review.builtin.tree import parameters, text_of

RULE = "hardcoded-secret"
WIDTH = 2_000
"""Characters of a line that are looked at."""

_WORDS = r"passwd|password|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
_NAME = re.compile(rf"(?:^|[_.-]|(?<=[a-z]))(?:{_WORDS})s?(?:$|[_.-])", re.I)
_SURE = re.compile(r"pass|pwd|secret", re.I)
"""Words beside which any text is believed; a token or a key must look like one."""
_WORD = re.compile(_WORDS, re.I)
_ASSIGNED = re.compile(
    r"""^\s*(?:export\s+|-\s+)?["']?(?P<name>[\w.-]+)["']?\s*[:=]\s*(?P<quote>["']?)(?P<value>[^\s"'#,]{4,})""",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"[$<{%]|^(?:none|null|true|false|changeme|example|x+|\*+|\.+|-+)$|^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$", re.I
)
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_FORMS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}\b"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}\b"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "an API key": re.compile(r"\bsk-(?:ant-|proj-|live-)?[A-Za-z0-9_-]{20,}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a password in a URL": re.compile(r"\b[a-z][a-z0-9+]{1,15}://[^\s:/@]{1,64}:[^\s:/@${}<]{3,64}@"),
}


def check_text(text: str, *, python: bool) -> Iterator[Seen]:
    """Known forms in every file; names with values in those that are not Python."""
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole[:WIDTH]
        form = next((what for what, pattern in _FORMS.items() if pattern.search(line)), None)
        if form is not None:
            yield Seen(RULE, number, f"It looks like {form}", "high", confidence=0.9)
        elif not python and (match := _ASSIGNED.match(line)) and _tells(match):
            yield Seen(RULE, number, f"Possible secret in the source: {match['name']}", "high", confidence=0.7)


def check_python(tree: ast.Module) -> Iterator[Seen]:
    """Names with values in Python code."""
    for node in ast.walk(tree):
        for name, value in _pairs(node):
            text = text_of(value)
            if text is not None and _NAME.search(name) and _plausible(text, any_text=bool(_SURE.search(name))):
                yield at(value, RULE, f"Possible secret in the source: {name}", "high", confidence=0.75)


def _tells(match: re.Match[str]) -> bool:
    sure = bool(match["quote"] and _SURE.search(match["name"]))
    return bool(_WORD.search(match["name"])) and _plausible(match["value"], any_text=sure)


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names, and the values that they are given."""
    if isinstance(node, ast.Assign):
        yield from ((_name(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield _name(node.target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        yield from ((text_of(key) or "", value) for key, value in zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.Compare) and len(node.comparators) == 1 and isinstance(node.ops[0], ast.Eq):
        yield _name(node.left), node.comparators[0]
    elif isinstance(node, ast.arguments):
        every = [each.arg for each in parameters(node) if each not in (node.vararg, node.kwarg)]
        last = len(every) - len(node.kwonlyargs)
        yield from zip(every[last - len(node.defaults) : last], node.defaults, strict=True)


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript):
        return text_of(target.slice) or ""
    return target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""


def _plausible(value: str, *, any_text: bool) -> bool:
    """No placeholder, no sentence, no name of a variable; letters and digits, unless `any_text` will do."""
    if len(value) < 6 or any(char.isspace() for char in value) or _PLACEHOLDER.search(value):
        return False
    if _ENVIRONMENT_NAME.fullmatch(value):
        return False
    return any_text or (any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and "(" not in value)
