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


def redacted(value: Any) -> Any:
    """The value with secrets blotted out; a copy, the original is left as it is."""
    if isinstance(value, str):
        return _SHAPES.sub(BLOT, value)
    if isinstance(value, Mapping):
        return {
            key: BLOT
            if isinstance(key, str) and isinstance(each, str) and _TELLING_NAME.search(key)
            else redacted(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value
