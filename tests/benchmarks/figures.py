"""Puts the figures of a run into docs/performance.md: `python -m tests.benchmarks.figures [FILE]`, after `make bench`.

They stand between two marks there, with the machine they are from. Neighbours have a table of their own and stay out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.report import bound, figure
from tests.benchmarks.results import Results
from tests.benchmarks.rows import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m tests.benchmarks.figures -->\n", "<!-- end of figures -->\n"
_HEADING = "| bench | what | figure | least to most | floor | aim | |\n|---|---|---|---|---|---|---|\n"


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


def renewed(text: str, results: Results) -> str:
    """The document with these figures instead of those it has."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{DOCUMENT.name} has no place for figures: {BEGIN.strip()} … {END.strip()}")
    return f"{before}{BEGIN}{table(results)}{END}{after}"


def _line(bench: str, row: Row) -> str:
    target = row.target
    spread = "" if row.least is None or row.most is None else f"{figure(row.least)} to {figure(row.most)}"
    verdict = "" if target.floor is None else "holds" if row.passed else "**missed**"
    cells = (bench, target.name, f"{figure(row.figure)} {target.unit}".rstrip(), spread)
    return f"| {' | '.join((*cells, bound(target, target.floor), bound(target, target.aim), verdict))} |\n"


if __name__ == "__main__":
    found = Results.read(Path(sys.argv[1] if len(sys.argv) > 1 else ".mesh/bench.json"))
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8"), found), encoding="utf-8")
