"""A job's timeline on a terminal: a bar for everything that took time, below one another, and what is to be said of it."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import Any

from mesh.cli.output import PIPED_WIDTH, printable

BAR = 36
NAME = 26
MARKS = {"open": "▒", "done": "█", "failed": "█", "lost": "▓"}
ENDS = {"open": "…", "done": " ", "failed": "✗", "lost": "†"}
LANES = {"owner": "OWNERS", "step": "STEPS", "wait": "WAITS", "undo": "UNDONE"}


def draw_timeline(rows: list[dict[str, Any]], width: int | None = None, *, until: float = 0.0) -> list[str]:
    """The lines; `rows` are those of `timeline` in `mesh job show`, seconds from when the job was handed in.

    What goes on is drawn up to `until`, which is now for a job that is not over.
    """
    if not rows:
        return []
    if width is None:
        width = get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    total = max(0.001, until, *(row["to"] or row["since"] for row in rows))
    lines = [f"{'':{NAME}}   0 s{_seconds(total):>{BAR - 3}}"]
    for lane, heading in LANES.items():
        chosen = [row for row in rows if row["lane"] == lane]
        lines += [heading] if chosen else []
        lines += [_line(row, total, width) for row in chosen]
    return lines


def _line(row: dict[str, Any], total: float, width: int) -> str:
    name = row["name"] + (f" ({row['attempt']})" if row["attempt"] > 1 else "")
    end = total if row["to"] is None else row["to"]
    took = _seconds(max(0.0, end - row["since"]))
    money = f"  {row['money']:.3g} spent" if row["money"] else ""
    told = f"  {_cut(name, NAME - 2):{NAME - 2}} {_bar(row, end, total)} {ENDS[row['how']]} {took:>8}{money}  {row['text']}"
    return _cut(printable(told), width).rstrip()


def _bar(row: dict[str, Any], end: float, total: float) -> str:
    first = min(BAR - 1, int(max(0.0, row["since"]) / total * BAR))
    last = max(first + 1, min(BAR, round(end / total * BAR)))
    return "│" + "·" * first + MARKS[row["how"]] * (last - first) + "·" * (BAR - last) + "│"


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
