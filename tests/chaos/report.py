"""The table at the end of `make chaos`: number, fault, what was done, what held, how long recovery took."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One scenario. `recovery` says in words how long it took until jobs moved again."""

    number: int
    fault: str
    done: str
    held: str
    recovery: str
    seed: int
    seconds: float


def table(rows: list[Row]) -> list[str]:
    """Lines of a Markdown table, in the order of their numbers."""
    lines = ["| # | fault | what was done | what held | recovery | seed | s |", "|--:|---|---|---|---|--:|--:|"]
    return lines + [_line(row) for row in sorted(rows)]


def _line(row: Row) -> str:
    cells = (row.number, row.fault, row.done, row.held, row.recovery, row.seed, f"{row.seconds:.1f}")
    return f"| {' | '.join(map(str, cells))} |"


def spread(seconds: list[float]) -> str:
    """Median and worst of some times, in words."""
    if not seconds:
        return "–"
    ranked = sorted(seconds)
    return f"median {_in_words(ranked[len(ranked) // 2])}, worst {_in_words(ranked[-1])} of {len(ranked)}"


def _in_words(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
