"""Making text from a stranger harmless: for a terminal, for Markdown, and for a terminal that shows JSON."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-!|~>:])")
_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")
_HTML = {"&": "&amp;", "<": "&lt;", "@": "&#64;"}


def visible(text: str) -> str:
    """The text on one line, with everything that is not printable (control and direction characters too) as an escape."""
    return "".join(char if char.isprintable() else _escape(char) for char in re.sub(r"[\n\t ]+", " ", text))


def visible_lines(text: str) -> str:
    """The same, line by line, tabs as four spaces."""
    return "\n".join(
        "".join(char if char.isprintable() else _escape(char) for char in line.replace("\t", "    "))
        for line in text.split("\n")
    )


def _escape(char: str) -> str:
    code = ord(char)
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def json_text(value: Any) -> str:
    """Indented JSON. Other scripts stay readable; every control and direction character is an escape, not only those that
    JSON demands it of."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _BEYOND_ASCII.sub(lambda match: match[0] if match[0].isprintable() else _json_escape(match[0]), text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def markdown_text(text: str) -> str:
    """The text as it reads, whatever Markdown or HTML it contains; nobody is mentioned, and nothing linked by it."""
    quiet = _WWW.sub(r"\1\.", _MARKDOWN.sub(r"\\\1", visible(text)))
    return "".join(_HTML.get(char, char) for char in quiet)


def code_span(text: str) -> str:
    """The text as inline code, with a fence longer than any run of backticks in it."""
    shown = visible(text)
    fence = "`" * (_longest_run(shown) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def code_block(text: str, language: str = "") -> str:
    """The text as a fenced block that nothing in it can end."""
    shown = visible_lines(text)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
