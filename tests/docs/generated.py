"""The parts of the documentation that come from the code. `python -m tests.docs.generated` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mesh.protocols import auction_states, commitment, semantics
from mesh.protocols.transitions import as_markdown, describe
from mesh.resilience import breaker
from tests.docs import shapes

DOCS = Path(__file__).resolve().parents[2] / "docs"

PARTS: dict[str, Callable[[], str]] = {
    "auction": lambda: _mermaid(auction_states.diagram()) + "\n" + auction_states.table(),
    "commitment": lambda: _mermaid(commitment.diagram()) + "\n" + commitment.table(),
    "semantics": semantics.as_markdown,
    "envelope": lambda: shapes.shapes(shapes.ENVELOPE),
    "acts": shapes.performatives,
    "offers": lambda: shapes.shapes(shapes.OFFERS),
    "registry": lambda: shapes.shapes(shapes.REGISTRY),
    "journal": lambda: shapes.shapes(shapes.ENTRIES),
    "job_events": shapes.job_events,
    "job_rules": shapes.job_rules,
    "inbox": shapes.inbox,
    "artifacts": lambda: shapes.shapes(shapes.ARTIFACTS),
    "letters": lambda: shapes.shapes(shapes.LETTERS),
    "telemetry": lambda: shapes.shapes(shapes.TELEMETRY),
    "breakers": lambda: shapes.shapes(shapes.BREAKERS),
    "breaker": lambda: (
        _mermaid(describe(breaker.TRANSITIONS, "closed")) + "\n" + as_markdown(breaker.TRANSITIONS, breaker.MEANINGS)
    ),
    "faults": shapes.faults,
    "limits": shapes.limits,
    "policies": shapes.decisions,
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """The document with its generated parts as the code says now."""
    return _PART.sub(lambda found: found[1] + PARTS[found[2]]() + found[4], text)


def documents() -> list[Path]:
    """Every document with a generated part."""
    return [path for path in sorted(DOCS.rglob("*.md")) if _PART.search(path.read_text(encoding="utf-8"))]


def _mermaid(source: str) -> str:
    return f"```mermaid\n{source}```\n"


if __name__ == "__main__":
    for path in documents():
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
