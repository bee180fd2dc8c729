"""Puts the figures of a run into docs/performance.md: `python -m tests.benchmarks.figures [FILE]`, after `make bench`.

They stand between two marks there, with the machine they are from. Neighbours have tables of their own; what a run is
without stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.report import bound, figure
from tests.benchmarks.results import Results
from tests.benchmarks.rows import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m tests.benchmarks.figures -->\n", "<!-- end of figures -->\n"
BESIDE, BESIDE_END = "<!-- side by side -->\n", "<!-- end of side by side -->\n"
_HEADING = "| bench | what | figure | least to most | floor | aim | |\n|---|---|---|---|---|---|---|\n"
_ASKED = (
    "| | 1 in flight: time over a raw request | 64 in flight: a second over raw requests | measured | processor time |\n"
    "|---|---|---|---|---|\n"
)
_CALLED = "| among 50 bidders, until the result is there | time over a raw request | measured | processor time |\n|---|---|---|---|\n"
_STEPPED = (
    "| durable steps | 1 run in flight: time a step over a raw request | 64 runs in flight: steps a second over raw requests "
    "| measured | processor time |\n|---|---|---|---|---|\n"
)
_STEPS = "1 run in flight"
"""What tells the steps of `beside_steps.py` from requests."""


def table(results: Results) -> str:
    """The run as Markdown."""
    machine, kind = results.machine, "Quick" if results.quick else "Full"
    noise = f" The machine was busy: {results.noise}." if results.noise else ""
    lines = [_line(bench, row) for bench, row in results.rows() if not bench.startswith("beside")]
    return (
        f"{kind} rounds on {results.at[:10]}, {machine['cpus']} cores of {machine['cpu']}, {machine['system'].split('-')[0]}, "
        f"Python {machine['python']}, nats-server {machine['nats-server']}, nats-py {machine['nats-py']}.{noise}\n\n"
        f"{_HEADING}{''.join(lines)}"
    )


def beside(results: Results) -> str:
    """The neighbours: requests, auctions, durable steps; nothing when there are none."""
    found: dict[str, dict[str, Row]] = {}
    for bench, row in results.rows():
        if bench.startswith("beside"):
            name, _, what = row.target.name.partition(", ")
            found.setdefault(name, {})[what.partition(":")[0]] = row  # ours stands beside each of them: the last one
    if not found:
        return ""
    ranked = sorted(found.items(), key=lambda each: _first(each[1]).figure)
    pairs = [each for each in ranked if len(each[1]) == 2]
    tables = {
        _ASKED: "".join(_asked(name, *rows.values()) for name, rows in pairs if _STEPS not in rows),
        _CALLED: "".join(_called(name, _first(rows)) for name, rows in ranked if len(rows) == 1),
        _STEPPED: "".join(_asked(name, *rows.values()) for name, rows in pairs if _STEPS in rows),
    }
    return "\n".join(heading + lines for heading, lines in tables.items() if lines)


def renewed(text: str, results: Results) -> str:
    """The document with these figures instead of those it has."""
    if any(not bench.startswith("beside") for bench, _ in results.rows()):
        text = _between(text, BEGIN, END, table(results))
    others = beside(results)
    return _between(text, BESIDE, BESIDE_END, others) if others else text


def _between(text: str, begin: str, end: str, words: str) -> str:
    before, begun, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise SystemExit(f"{DOCUMENT.name} has no place for figures: {begin.strip()} … {end.strip()}")
    return f"{before}{begin}{words}{end}{after}"


def _first(rows: dict[str, Row]) -> Row:
    return next(iter(rows.values()))


def _called(name: str, row: Row) -> str:
    return f"| {name} | {figure(row.figure)}x | {row.about} | {_processor(row)} |\n"


def _asked(name: str, one: Row, many: Row) -> str:
    measured = "; ".join(each.about.partition(", raw")[0] for each in (one, many))
    return f"| {name} | {figure(one.figure)}x | {figure(many.figure)}x | {measured} | {_processor(many)} |\n"


def _processor(row: Row) -> str:
    """Of an operation, in all the processes that were watched."""
    return f"{(row.ours.here + row.ours.there + row.ours.server) * 1e6:,.0f} µs" if row.ours else ""


def _line(bench: str, row: Row) -> str:
    target = row.target
    spread = "" if row.least is None or row.most is None else f"{figure(row.least)} to {figure(row.most)}"
    verdict = "" if target.floor is None else "holds" if row.passed else "**missed**"
    cells = (bench, target.name, f"{figure(row.figure)} {target.unit}".rstrip(), spread)
    return f"| {' | '.join((*cells, bound(target, target.floor), bound(target, target.aim), verdict))} |\n"


if __name__ == "__main__":
    found = Results.read(Path(sys.argv[1] if len(sys.argv) > 1 else ".mesh/bench.json"))
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8"), found), encoding="utf-8")
