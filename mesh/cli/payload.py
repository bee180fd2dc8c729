"""What a person types as a value: JSON as it stands, `-` for stdin, `@path` for a file; and `NAME=VALUE` pairs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mesh.cli.exits import BadInput
from mesh.protocols.constraints import Budget, Constraints


def read_payload(text: str) -> msgspec.Raw:
    """The JSON in `text`, on stdin (`-`) or in a file (`@path`).

    Raises:
        BadInput: it cannot be read, or is no JSON.
    """
    data, place = _read(text)
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise BadInput(f"{place} is not JSON ({error}); strings need their quotes: '\"text\"'") from None
    return msgspec.Raw(data)


def demands(
    *, labels: Iterable[str] | None = None, boundary: str = "", budget: float | None = None, priority: int = 2
) -> Constraints:
    """What the options of a command demand of the work.

    Raises:
        BadInput: one of them cannot be.
    """
    if budget is not None and not budget >= 0:
        raise BadInput("--budget must be a number that is not negative")
    return Constraints(budget=Budget(money=budget), boundary=boundary, priority=priority, labels=pairs(labels))


def _read(text: str) -> tuple[bytes, str]:
    if text == "-":
        return sys.stdin.buffer.read(), "what came on stdin"
    if not text.startswith("@"):
        return text.encode(), repr(text if len(text) <= 60 else text[:60] + "…")
    try:
        return Path(text[1:]).read_bytes(), text[1:]
    except OSError as error:
        raise BadInput(f"cannot read {text[1:]}: {error.strerror or error}") from None


def pairs(texts: Iterable[str] | None, option: str = "--label") -> dict[str, str]:
    """`NAME=VALUE` each, as a dictionary.

    Raises:
        BadInput: one is not of that form.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise BadInput(f"{option} takes NAME=VALUE, such as {option} gpu=yes; got {text!r}")
        found[name] = value
    return found
