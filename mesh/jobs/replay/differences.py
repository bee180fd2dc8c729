"""What is different between two JSON values, in a few lines that people can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MOST = 8
"""Differences told one by one."""
WIDEST = 60
"""Characters of a value that are shown."""

_GONE = object()


def differences(before: Any, after: Any, most: int = MOST) -> list[str]:
    """One line for each place where they differ: `$.order.amount: 5 → 7`; the rest is counted. None: they are equal."""
    lines = list(_walk("$", before, after))
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"… and {more} more"]


def short(value: Any) -> str:
    """A value as JSON on one line, cut where it gets long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _walk(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}, key=str):
            yield from _walk(f"{path}.{key}", before.get(key, _GONE), after.get(key, _GONE))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            yield from _walk(f"{path}[{place}]", _at(before, place), _at(after, place))
    elif type(before) is not type(after) or before != after:
        yield f"{path}: {_shown(before)} → {_shown(after)}"


def _at(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else _GONE


def _shown(value: Any) -> str:
    return "nothing" if value is _GONE else short(value)
