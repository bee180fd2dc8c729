"""The sentences that the formats for people share."""

from __future__ import annotations

from mesh.agents.review.findings import Finding, Review


def headline(review: Review) -> str:
    """How much was looked at, and how much was found."""
    counts = ", ".join(f"{count} {severity}" for severity, count in review.counts().items())
    found = f"{_number(len(review.findings), 'finding')}" + (f" ({counts})" if counts else "")
    looked = f"{_number(review.files, 'file')}, +{review.added_lines} -{review.removed_lines}"
    return f"{found} in {looked}"


def subject(review: Review) -> str:
    """What was reviewed."""
    if not review.head:
        return "a patch"
    commits = f"{review.base[:12]}..{review.head[:12]}"
    return f"{review.repo} {commits}" if review.repo else commits


def place(finding: Finding) -> str:
    """Path and lines."""
    return f"{finding.path}:{finding.line}" + (f"-{finding.end_line}" if finding.end_line else "")


def finders(finding: Finding) -> str:
    """Which agents found it, by which rules."""
    rules = ", ".join(dict.fromkeys(ground.method for ground in finding.evidence))
    return f"{', '.join(finding.found_by) or 'unknown'} ({rules})"


def remarks(review: Review) -> list[str]:
    """What a reader must know besides the findings."""
    return [
        *(f"missing: {each.capability}: {each.reason}" for each in review.missing),
        *(f"not analysed: {each.path}: {each.reason}" for each in review.skipped),
        *(
            f"{len(review.quarantined)} finding(s) could not be verified and are not shown"
            for _ in review.quarantined[:1]
        ),
        *(f"note: {each}" for each in review.notes),
    ]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
