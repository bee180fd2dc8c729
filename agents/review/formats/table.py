"""A review for a terminal: worst first, with what was seen, who saw it, and what to do."""

from __future__ import annotations

import io

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mesh.agents.review.findings import Conflict, Finding, Review
from mesh.agents.review.formats.escaping import visible, visible_lines
from mesh.agents.review.formats.summary import finders, headline, place, remarks, subject

COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}


def table(review: Review, *, width: int = 120, colour: bool = False) -> str:
    """The review as lines of at most `width` columns. Strangers' text reaches rich as plain `Text`, never as markup."""
    out = io.StringIO()
    console = Console(
        file=out, width=max(60, width), force_terminal=colour, no_color=not colour, highlight=False, emoji=False
    )
    console.print(Text(visible(f"Review of {subject(review)}: {headline(review)}"), style="bold"))
    if review.findings:
        console.print(_findings(review))
    for conflict in review.conflicts:
        console.print(Text(visible(_settled(conflict)), style="dim"))
    for remark in remarks(review):
        console.print(Text(visible(remark), style="yellow" if remark.startswith("missing") else "dim"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _findings(review: Review) -> Table:
    rows = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    rows.add_column("severity", no_wrap=True)
    rows.add_column("where", overflow="fold", max_width=36)
    rows.add_column("finding and evidence", overflow="fold", ratio=3)
    rows.add_column("found by", overflow="fold", ratio=1, min_width=20)
    for finding in review.findings:
        severity = Text(finding.severity, style=COLOURS[finding.severity])
        rows.add_row(severity, Text(visible(place(finding))), _what(finding), _who(finding))
    return rows


def _what(finding: Finding) -> Group:
    excerpt = finding.evidence[0].excerpt.split("\n")[0].strip() if finding.evidence else ""
    parts = [Text(visible(finding.message))]
    if excerpt:
        parts.append(Text(f"│ {visible_lines(excerpt)}", style="dim"))
    if finding.suggestion:
        parts.append(Text(f"→ {visible(finding.suggestion)}", style="green"))
    return Group(*parts)


def _who(finding: Finding) -> Text:
    return Text(f"{visible(finders(finding))} {finding.confidence.value:.2f}")


def _settled(conflict: Conflict) -> str:
    where = f"{conflict.path}:{conflict.line}"
    return f"disagreement at {where} about {_about(conflict)}: kept {conflict.kept}; not {conflict.dropped}; {conflict.reason}"


def _about(conflict: Conflict) -> str:
    return "what goes first" if conflict.about == "superseded" else conflict.about
