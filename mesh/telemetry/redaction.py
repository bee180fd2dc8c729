"""Secrets do not leave the process: known shapes and telling names are blotted out before anything is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
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


_PLAIN = (float, int, bool, type(None))
_SHORTEST = 8
"""No shape is shorter."""


def redacted(value: Any) -> Any:
    """The value with secrets blotted out; a copy, the original is left as it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return _SHAPES.sub(BLOT, value) if len(value) >= _SHORTEST and _suspicious(value) else value
    if isinstance(value, Mapping):
        return {
            key: BLOT if isinstance(each, str) and isinstance(key, str) and _tells(key) else redacted(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value


@lru_cache(maxsize=1024)
def _tells(name: str) -> bool:
    """Whether a field of this name holds a secret; the same few names come again and again."""
    return _TELLING_NAME.search(name) is not None


def _suspicious(text: str) -> bool:
    """Whether one of the shapes may be in it: each has one of these, and looking for them is much cheaper."""
    if "k-" in text or "eyJ" in text or "://" in text or "gh" in text or "AKIA" in text or "-----BEGIN" in text:
        return True
    return len(text) >= _SEED and _SEED_START.search(text) is not None


_SEED = 58
"""How long the seed of an nkey is."""
_SEED_START = re.compile("S[UAOXC][A-Z2-7]")
