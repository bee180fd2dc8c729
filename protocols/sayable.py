"""What of an error can be told: whatever its author made it with, it goes into a message, and one that the server takes.

An exception's text may hold half a surrogate pair (a file name that is no UTF-8) or a whole page, its detail an object. Were
that found out as the answer leaves, there would be no answer: whoever waits would take the work for lost, and have it done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MOST_TEXT = 8 * 1024
"""Characters of a message."""
MOST_DETAIL = 256 * 1024
"""Bytes of a detail; a message may have 1 MiB, and an entry of a journal holds several."""
EXCERPT = 1000
"""Characters that are left of a value for which there is no room."""

_UNSAYABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_encoder = msgspec.json.Encoder()


def sayable_text(text: str, most: int = MOST_TEXT) -> str:
    """As much of a text as can be told; what is no character is written out."""
    kept = text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"
    return kept if kept.isascii() else kept.encode("utf-8", "backslashreplace").decode()


def sayable_detail(detail: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of which all can be told: objects by their type's name, and of what is too much its beginning."""
    try:
        if len(_encoder.encode(detail)) <= MOST_DETAIL:
            return dict(detail)
    except _UNSAYABLE:
        pass
    parts = {sayable_text(str(name), EXCERPT): _plain(value) for name, value in detail.items()}
    sizes = {name: len(_encoder.encode(value)) for name, value in parts.items()}
    room = MOST_DETAIL
    for name in sorted(parts, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0:
            parts[name] = sayable_text(_encoder.encode(parts[name])[:EXCERPT].decode("utf-8", "replace") + " …")
    return parts


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return sayable_text(value, MOST_DETAIL)
    try:
        return msgspec.json.decode(_naming.encode(value))
    except _UNSAYABLE:
        return _named(value)


def _named(value: Any) -> str:
    return f"<{type(value).__name__}>"


_naming = msgspec.json.Encoder(enc_hook=_named)
