"""Results on stdout, everything else on stderr.

A table for people, JSON or YAML for programs. Whatever comes from outside is escaped before a terminal sees it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any

import msgspec

from mesh.cli.options import Format
from mesh.cli.streams import lead_nowhere
from mesh.cli.tables import draw

PIPED_WIDTH = 240
Row = Mapping[str, Any]


def plain(value: Any) -> Any:
    """The value as JSON-able builtins."""
    return msgspec.to_builtins(value)


def printable(text: str) -> str:
    """The text without control characters (newline and tab stay), so that no escape sequence reaches a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def note(message: str) -> None:
    """Say something to the person, on stderr. Where nobody reads that any more, or its disk is full, the work goes on without: a
    restore that stops halfway because of `| head` would leave half a mesh."""
    try:
        print(printable(message), file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        lead_nowhere(sys.stderr)


def print_value(value: Any, output: Format) -> None:
    """One result: JSON with an indent, or YAML. (A table has its own function; for one value it is JSON, too.)"""
    builtins = plain(value)
    if output is Format.YAML:
        _write(_yaml(builtins))
    else:
        _write(msgspec.json.format(msgspec.json.encode(builtins), indent=2).decode() + "\n")


def print_line(value: Any) -> None:
    """One object on one line: what streaming commands print with `-o json`."""
    _write(msgspec.json.encode(plain(value)).decode() + "\n")


def print_rows(rows: Sequence[Row], columns: Mapping[str, str], output: Format, *, empty: str = "nothing here") -> None:
    """A list of results. `columns` maps a key to its heading; JSON and YAML print the rows whole."""
    if output is not Format.TABLE:
        print_value(rows, output)
    elif rows:
        print_table(rows, columns)
    else:
        note(empty)


def print_table(rows: Iterable[Row], columns: Mapping[str, str]) -> None:
    """Rows as a table without frames; as wide as the terminal, or wider in a pipe."""
    cells = [[printable(_cell(row.get(key))) for key in columns] for row in rows]
    width = get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    _write(draw([*columns.values()], cells, width))


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_cell(each)}" for key, each in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(each) for each in value) or "–"
    return str(value)


def _yaml(builtins: Any) -> str:
    try:
        return msgspec.yaml.encode(builtins).decode()
    except ImportError:
        from mesh.cli.exits import BadInput

        raise BadInput("YAML output needs the extra 'yaml': pip install 'natsmesh[yaml]', or use -o json") from None


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
