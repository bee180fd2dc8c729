"""Which subject a pattern means: `*` stands for one token, `>` for one or more at the end."""

from __future__ import annotations

import re
from functools import lru_cache

from mesh.protocols.errors import InvalidName

LONGEST = 3000
"""Bytes of a subject. A server takes 4,096 in a line that also names a reply, and cuts the connection of who says more."""
_FORBIDDEN = re.compile(r"[\s\x00*>]")
_BLANK = re.compile(r"[\s\x00]")
_WILD = re.compile(r"[*>]")


def check_subject(subject: str) -> bytes:
    """The subject as bytes, if a message may be published to it: no wildcards, no empty tokens, no blanks.

    Raises:
        InvalidName: it may not, or is too long; a line break would even reach the server as a command.
    """
    stem, _, last = subject.rpartition(".")
    known = (
        last.isalnum() and stem and _sound(stem)
    )  # replies: the last token is new each time, what stands before is not
    if not known and not _sound(subject):
        raise InvalidName(f"cannot publish to {subject!r}: a subject has no blanks, wildcards or empty tokens")
    encoded = subject.encode()
    if len(encoded) > LONGEST:
        raise InvalidName(
            f"cannot publish to {subject[:80]!r}…: a subject has at most {LONGEST} bytes, not {len(encoded)}"
        )
    return encoded


@lru_cache(maxsize=8192)
def _sound(subject: str) -> bool:
    outside = not subject or subject[0] == "." or subject[-1] == "."
    return not (outside or ".." in subject or _FORBIDDEN.search(subject))


def check_pattern(pattern: str) -> str:
    """The pattern itself, if one may subscribe to it.

    Raises:
        InvalidName: blanks, empty tokens, or a wildcard where none may stand.
    """
    tokens = pattern.split(".")
    misplaced = any((">" in t or "*" in t) and t not in ("*", ">") for t in tokens) or ">" in tokens[:-1]
    if _BLANK.search(pattern) or "" in tokens or misplaced:
        raise InvalidName(f"cannot subscribe to {pattern!r}: wildcards are whole tokens and '>' stands at the end")
    if len(pattern.encode()) > LONGEST:
        raise InvalidName(f"cannot subscribe to {pattern[:80]!r}…: a subject has at most {LONGEST} bytes")
    return pattern


def has_wildcard(pattern: str) -> bool:
    """Whether it may mean more than one subject."""
    return "*" in pattern or ">" in pattern


def matches(pattern: str, subject: str) -> bool:
    """Whether `subject` (without wildcards) is one of those that `pattern` means."""
    if pattern == subject or pattern == ">":
        return True
    start, wanted, open_end = _parts(pattern)
    if not wanted or not subject.startswith(start):
        return False
    found = subject.split(".")
    if len(found) <= len(wanted) if open_end else len(found) != len(wanted):
        return False
    return all(want in ("*", token) for want, token in zip(wanted, found, strict=False))


@lru_cache(maxsize=4096)
def _parts(pattern: str) -> tuple[str, tuple[str, ...], bool]:
    """What stands before the first wildcard, the tokens but for a `>` at the end, and whether there is one.

    No tokens: it means no other subject than itself.
    """
    if not has_wildcard(pattern):
        return pattern, (), False
    tokens = pattern.split(".")
    open_end = tokens[-1] == ">"
    return _WILD.split(pattern, 1)[0], tuple(tokens[:-1] if open_end else tokens), open_end
