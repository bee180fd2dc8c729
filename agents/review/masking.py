"""Keeping secrets out of a review: the place of a secret is reported, its value never."""

from __future__ import annotations

import re

from mesh.telemetry.redaction import redacted

_QUOTED = re.compile(r"""('''|\"\"\"|['"])((?:\\(?:.|$)|(?!\1)[^\\\n])*)(\1|$)""")
"""One string of a line, or the beginning of one that ends on another line. A backslash is read in one way only: in two, a
line of them takes longer than anybody waits."""
_WORDS = r"(?:passwd|password|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w.-]*"
_ASSIGNED = re.compile(r"([:=]\s*)\S.*$")
_TOLD = re.compile(rf"""(?i)({_WORDS}["']?\s*[:=]=?+\s*)(?!\w{{0,2}}["']|[\w.\[\], |]+=\s*\w{{0,2}}["'])\S.*$""")
"""A name that says what it holds, and a value that stands in no quotes (nor does it behind a type)."""
_TELLING_NAME = re.compile(rf"(?i){_WORDS}['\"]?\s*[:=]")
_TELLING_KEY = re.compile(rf"""(?i)["'][\w.-]*{_WORDS}["']\s*[:=]""")
_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
_FROM_FIRST_TO_LAST = re.compile(r"""(?s)(['"]).*\1""")


def masked(text: str) -> str:
    """The text with every quoted string, assigned value and long token hidden, line by line."""
    return "\n".join(_line(line) for line in text.split("\n"))


def masked_message(text: str) -> str:
    """What a tool says of a secret: it may repeat the value between quotes, whatever stands in it."""
    return masked(_FROM_FIRST_TO_LAST.sub(r"\1***\1", text))


def without_secrets(text: str) -> str:
    """Code that is shown for another reason: tokens of a known form are hidden, and on a line that names a secret its strings."""
    return "\n".join(map(_quiet, str(redacted(text)).split("\n")))


def _line(line: str) -> str:
    hidden, quoted = _QUOTED.subn(_hide, line)
    hidden = (_TOLD if quoted else _ASSIGNED).sub(r"\1***", hidden)
    return _LONG_TOKEN.sub("***", hidden)


def _quiet(line: str) -> str:
    hidden = _QUOTED.sub(_hide, line)
    return hidden if _TELLING_NAME.search(hidden) or _TELLING_KEY.search(line) else line


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}***{match[3]}" if match[3] else "***"


def reads_like_prose(text: str) -> bool:
    """Whether the only quoted value on the line is words with spaces between: a label or a message, seldom a secret."""
    values = [match[2] for match in _QUOTED.finditer(text) if match[3]]
    return len(values) == 1 and values[0].count(" ") >= 2 and not any(char.isdigit() for char in values[0])
