"""Where a key stands in a TOML text, so that a complaint can name the line. Best effort: 0 when it cannot be found."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\]]+?)\s*\]{1,2}")
_KEY = re.compile(r"""\s*(["']?)([A-Za-z0-9_.-]+)\1\s*=""")
_INDEX = re.compile(r"\[(\d+)\]")


def line_of(text: str, key: str) -> int:
    """The line of a key such as `agents[1].instances`; of its table when the key itself is not there."""
    places = _places(text)
    wanted = key
    while wanted:
        for place in (wanted, f"{wanted}[0]"):
            if place in places:
                return places[place]
        wanted = _parent(wanted)
    return 0


def _parent(key: str) -> str:
    dot, bracket = key.rfind("."), key.rfind("[")
    return key[: max(dot, bracket, 0)]


def _places(text: str) -> dict[str, int]:
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _table(header[1], header[2], counts)
            places.setdefault(table, number)
        elif key:
            places.setdefault(f"{table}.{key[2]}" if table else key[2], number)
    return places


def _table(brackets: str, name: str, counts: dict[str, int]) -> str:
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    if brackets == "[[":
        counts[name] = counts.get(name, -1) + 1
        return f"{'.'.join(parts)}[{counts[name]}]"
    if parts[0] in counts and not _INDEX.search(parts[0]):
        parts[0] = f"{parts[0]}[{counts[parts[0]]}]"
    return ".".join(parts)
