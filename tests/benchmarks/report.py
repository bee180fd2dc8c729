"""What `make bench` prints as it goes: a line a row, and the last word.

heading     the bench, then one line a row: name, figure, least to most round, floor, aim, pass or FAIL
remarks     below a row, dim: raw figures and processor times; with `-v`, and always where a floor is missed
"""

from __future__ import annotations

from textwrap import fill, indent, wrap

from rich.console import Console
from rich.text import Text

from tests.benchmarks.results import Outcome, Results
from tests.benchmarks.rows import Row, Target

PIPED_WIDTH = 120
BUDGETS = {True: 60.0, False: 900.0}
"""Seconds that all benches together may take, in quick rounds and in full ones."""
NAME_WIDTH = (24, 72)
_COLUMNS = (("figure", 8), ("least to most", 14), ("floor", 7), ("aim", 7), (" ", 4))
_CHANGE = ("before", 15)


class Report:
    """Shows results as they come. The word FAIL stands on missed rows only."""

    def __init__(
        self, console: Console, results: Results, *, verbose: bool = False, before: Results | None = None
    ) -> None:
        self._console = console
        self._results = results
        self._verbose = verbose
        self._before = before
        self._columns = (*_COLUMNS, _CHANGE) if before else _COLUMNS

    def opening(self) -> None:
        """Where we are."""
        machine, results = self._results.machine, self._results
        versions = ", ".join(f"{name} {machine[name]}" for name in ("nats-server", "nats-py", "uvloop", "msgspec"))
        self._say(f"{'quick' if results.quick else 'full'} rounds, seed {results.seed}", "dim")
        self._say(f"{machine['cpus']} cores, {machine['cpu']}, {machine['system']}", "dim")
        self._say(f"Python {machine['python']}, {versions}", "dim")
        if results.noise:
            self._say(f"machine is busy, figures are noisy: {results.noise}", "yellow")
        if self._before and self._before.quick != results.quick:
            self._say("compared with a run of other rounds: quick and full differ", "yellow")
        self._say("")
        self._line("", [Text(heading, "dim") for heading, _ in self._columns])

    def begins(self, bench: str) -> None:
        """A bench is under way; on a terminal its name stands there until its rows do."""
        if self._console.is_terminal:
            self._console.print(Text(f"{bench} …", "dim"), end="\r")  # the next line covers it

    def ended(self, outcome: Outcome) -> None:
        """What became of a bench."""
        if outcome.skipped:
            self._say(Text.assemble((outcome.bench, "bold"), f"  skipped: {outcome.skipped}"))
        elif outcome.broke:
            self._say(Text.assemble((outcome.bench, "bold"), ("  broke", "bold red")))
            self._say(indent(outcome.broke.rstrip(), "  "))
        else:
            self._say(outcome.bench + ("  " if self._console.is_terminal else ""), "bold")
            for row in outcome.rows:
                self._row(outcome.bench, row)

    def closing(self, where: str) -> None:
        """The last word."""
        results = self._results
        held, missed = results.held(), results.missed()
        took = ", ".join(f"{each.bench} {each.seconds:.1f} s" for each in results.benches if not each.skipped)
        self._say(f"\n{took or 'nothing was measured'}; {results.seconds:.0f} s in all", "dim")
        if results.seconds > BUDGETS[results.quick]:
            self._say(f"that is more than the {BUDGETS[results.quick]:.0f} s it should take", "yellow")
        hold = (f"{len(held) - len(missed)} of {len(held)} floors hold", "bold red" if missed else "green")
        self._say(Text.assemble(hold, f"; figures in {where}"))
        broken = [outcome.bench for outcome in results.benches if outcome.broke]
        if broken:
            self._say(f"broken, see above: {', '.join(broken)}", "bold red")

    def _row(self, bench: str, row: Row) -> None:
        cells = _cells(row)
        if self._before:
            cells.append(_change(row, self._before.earlier(bench, row.target.name)))
        self._line(row.target.name, cells)
        if row.remarks and (self._verbose or not row.passed):
            self._say(fill(row.remarks, self._console.width, initial_indent=" " * 6, subsequent_indent=" " * 6), "dim")

    def _line(self, name: str, cells: list[Text]) -> None:
        """A name, in as many lines as it needs, and the cells beside the first of them."""
        least, most = NAME_WIDTH
        taken = sum(width + 2 for _, width in self._columns)
        room = min(most, max(least, self._console.width - taken))
        first, *more = wrap(name, room, initial_indent="  ", subsequent_indent="    ") or [""]
        parts = [Text(first.ljust(room))]
        for cell, (_, width) in zip(cells, self._columns, strict=True):
            parts.append(Text(" " * (2 + max(0, width - len(cell)))) + cell)
        line = Text().join(parts)
        line.rstrip()
        self._say(line)
        for rest in more:
            self._say(rest)

    def _say(self, words: str | Text, style: str = "") -> None:
        self._console.print(Text(words, style) if isinstance(words, str) else words, soft_wrap=True)


def _cells(row: Row) -> list[Text]:
    target = row.target
    spread = "" if row.least is None or row.most is None else f"{figure(row.least)} to {figure(row.most)}"
    verdict = Text() if target.floor is None else Text("pass", "green") if row.passed else Text("FAIL", "bold red")
    return [
        Text(f"{figure(row.figure)} {target.unit}".rstrip(), style="bold"), Text(spread, style="dim"),
        Text(bound(target, target.floor)), Text(bound(target, target.aim), style="dim"), verdict,
    ]  # fmt: skip


def bound(target: Target, limit: float | None) -> str:
    """A floor or an aim, for people."""
    if limit is None:
        return ""
    return f"{'≤' if target.better == 'lower' else '≥'} {f'{limit:g}' if limit < 10_000 else figure(limit)}"


def _change(row: Row, before: Row | None) -> Text:
    """The earlier figure and the change; coloured where the earlier one lies outside of what the rounds say now."""
    if before is None:
        return Text("new", style="dim")
    change = row.figure / before.figure - 1 if before.figure else 0.0
    words = f"{figure(before.figure)}, {change:+.0%}"
    if row.least is not None and row.most is not None and row.least <= before.figure <= row.most:
        return Text(words, style="dim")
    return Text(words, style="green" if (change > 0) == (row.target.better == "higher") else "red")


def figure(number: float) -> str:
    """Three figures, for people: 0.296, 12.3, 1,234, 108k, 1.20M."""
    size = abs(number)
    for least, unit in ((999_500, "M"), (9_995, "k")):
        if size >= least:
            scaled = number / {"M": 1e6, "k": 1e3}[unit]
            return f"{scaled:.{2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0}f}{unit}"
    return f"{number:,.0f}" if size >= 99.95 else f"{number:#.3g}"
