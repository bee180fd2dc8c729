"""Secrets do not leave the process: known shapes and telling names are blotted out before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BLOT = "[redacted]"

_TELLING_NAME = re.compile(
    r"(?i)(^|[_.-])(password|passwd|secret|token|api[_-]?key|authorization|credentials?|private[_-]?key)$"
)
_SHAPES = re.compile(
    r"""(?x)
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?(-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bAKIA[0-9A-Z]{16}\b
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}
    | \bS[UAOXC][A-Z2-7]{56}\b
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)
    """
)


_PLAIN = frozenset((float, int, bool, type(None)))
_SHORT = 19
"""Only a password in a URL is shorter."""
_KNOWN = 1024
_SEED = 58
"""How long the seed of an nkey is."""
_SEED_START = re.compile("S[UAOXC][A-Z2-7]")


def redacted(value: Any) -> Any:
    """The value with secrets blotted out; a copy, the original is left as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return _SHAPES.sub(BLOT, value) if _suspicious(value) else value
    if isinstance(value, Mapping):
        return redacted_fields(value)
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value


def redacted_fields(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    """The same for fields with names: a telling one hides its text."""
    found = dict(fields)
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            telling = _known.get(name)
            if telling or (telling is None and _tells(name)):
                found[name] = BLOT
            elif (len(value) >= _SHORT or "://" in value) and _suspicious(value):
                found[name] = _SHAPES.sub(BLOT, value)
        elif kind not in _PLAIN:
            found[name] = BLOT if isinstance(value, str) and _tells(name) else redacted(value)
    return found


_known: dict[Any, bool] = {}
"""Whether a field of this name holds a secret: the same few names come again and again."""


def _tells(name: Any) -> bool:
    if len(_known) >= _KNOWN:
        _known.clear()
    found = _known[name] = isinstance(name, str) and _TELLING_NAME.search(name) is not None
    return found


def _suspicious(text: str) -> bool:
    """Whether one of the shapes may be in it: each has one of these parts, and looking for them is much cheaper."""
    if "://" in text or "k-" in text or "eyJ" in text or "gh" in text or "AKIA" in text:
        return True
    return "-----BEGIN" in text or (len(text) >= _SEED and _SEED_START.search(text) is not None)
