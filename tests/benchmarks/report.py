"""The table that `make bench` prints as it goes, and the JSON it leaves behind."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.rows import Row, Target


class Measured(msgspec.Struct, frozen=True):
    """One bench in the JSON file."""

    bench: str
    seconds: float
    rows: list[Row]


class Report:
    """Collects what the benches say. The word FAIL stands on missed rows only."""

    def __init__(self, *, quick: bool, seed: int) -> None:
        self._console = Console(highlight=False)
        self._about = {"quick": quick, "seed": seed, "python": platform.python_version(), "at": time.time()}
        self._measured: list[Measured] = []
        self._skipped: dict[str, str] = {}
        self._broke: dict[str, str] = {}

    def measured(self, bench: str, rows: list[Row], seconds: float) -> None:
        """A bench has ended: show its rows."""
        self._measured.append(Measured(bench, seconds, rows))
        table = Table(
            title=f"{bench} ({seconds:.0f} s)", title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        for heading in ("", "figure", "rounds", "floor", "aim", "", "processor time an operation, and more"):
            table.add_column(heading, justify="right" if heading in ("figure", "floor", "aim") else "left")
        for row in rows:
            table.add_row(*_cells(row))
        self._console.print(table)
        self._console.print()

    def skipped(self, bench: str, reason: str) -> None:
        """A bench cannot run here."""
        self._skipped[bench] = reason
        self._console.print(f"{bench}: skipped: {escape(reason)}\n")

    def broke(self, bench: str, trace: str) -> None:
        """A bench raised."""
        self._broke[bench] = trace
        self._console.print(f"[red]{bench} broke[/red]\n{escape(trace)}")

    def finish(self, path: Path) -> int:
        """Write the JSON, say the last word, and return the exit code."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {**self._about, "benches": self._measured, "skipped": self._skipped, "broke": self._broke}
        path.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
        rows = [row for each in self._measured for row in each.rows if row.target.floor is not None]
        missed = [row for row in rows if not row.passed]
        self._console.print(f"{len(rows) - len(missed)} of {len(rows)} floors hold; figures in {path}")
        for name in self._broke:
            self._console.print(f"[red]{name} broke[/red]: see above")
        return 2 if self._broke else 1 if missed else 0


def _cells(row: Row) -> list[str]:
    target = row.target
    spread = "" if row.least is None or row.most is None else f"{_figure(row.least)} to {_figure(row.most)}"
    verdict = "" if target.floor is None else "[green]pass[/green]" if row.passed else "[bold red]FAIL[/bold red]"
    return [
        escape(target.name), f"[bold]{_figure(row.figure)}[/bold] {target.unit}", spread, _bound(target, target.floor),
        _bound(target, target.aim), verdict, f"[dim]{escape(row.about)}[/dim]",
    ]  # fmt: skip


def _bound(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{'≤' if target.better == 'lower' else '≥'} {_figure(bound)} {target.unit}"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) < 10 else f"{number:.1f}"
