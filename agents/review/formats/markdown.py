"""A review as Markdown, fit for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.agents.review.findings import Conflict, Finding, Review
from mesh.agents.review.formats.escaping import code_block, code_span, markdown_text
from mesh.agents.review.formats.summary import headline, place, remarks, subject


def markdown(review: Review) -> str:
    """One section a finding, worst first, then what was disagreed on and what was not looked at."""
    return "\n".join(_lines(review)) + "\n"


def _lines(review: Review) -> Iterator[str]:
    yield from ("# Code review", "", f"{code_span(subject(review))}: {markdown_text(headline(review))}", "")
    if not review.findings:
        yield from ("Nothing was found.", "")
    for finding in review.findings:
        yield from _finding(finding)
    if review.conflicts:
        yield from ("## Disagreements", "", *map(_conflict, review.conflicts), "")
    if notes := remarks(review):
        yield from ("## Notes", "", *(f"- {markdown_text(note)}" for note in notes), "")


def _finding(finding: Finding) -> Iterator[str]:
    yield from (f"## {finding.severity}: {markdown_text(finding.message)}", "")
    yield f"{code_span(place(finding))} · {finding.category} · confidence {finding.confidence.value:.2f}"
    yield ""
    for ground in finding.evidence[:1]:
        if ground.excerpt:
            yield from (code_block(ground.excerpt), "")
    if finding.suggestion:
        yield from (f"**Suggestion:** {markdown_text(finding.suggestion)}", "")
    rules = ", ".join(code_span(ground.method) for ground in finding.evidence)
    yield from (f"Found by {', '.join(map(code_span, finding.found_by)) or 'unknown'} with {rules}", "")


def _conflict(conflict: Conflict) -> str:
    where = code_span(f"{conflict.path}:{conflict.line}")
    return f"- {where}: kept {markdown_text(conflict.kept)}; not {markdown_text(conflict.dropped)}. {markdown_text(conflict.reason)}"
