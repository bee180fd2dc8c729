"""Keeping secrets out of a review: the place of a secret is reported, its value never."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""(['"])(?:\\.|(?!\1)[^\\\n])*\1""")
"""A backslash is read in one way only: in two, a line of them takes longer than anybody waits."""
_ASSIGNED = re.compile(r"([:=]\s*)\S.*$")
_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{16,}")


def masked(text: str) -> str:
    """The text with every quoted string, assigned value and long token hidden, line by line."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    hidden = _QUOTED.sub(r"\1***\1", line)
    if hidden == line:
        hidden = _ASSIGNED.sub(r"\1***", line)
    return _LONG_TOKEN.sub("***", hidden)


def reads_like_prose(text: str) -> bool:
    """Whether the only quoted value on the line is words with spaces between: a label or a message, seldom a secret."""
    values = [match.group(0)[1:-1] for match in _QUOTED.finditer(text)]
    return len(values) == 1 and values[0].count(" ") >= 2 and not any(char.isdigit() for char in values[0])
