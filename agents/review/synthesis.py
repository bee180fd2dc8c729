"""Many reports become one review: the same thing said twice becomes one finding, disagreements are settled, the rest is ranked.

Pure. After the specialists, before `formats`. Only artifacts that a gate has passed are read; the others are kept apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from mesh.agents.review.changes import ChangeSet
from mesh.agents.review.conflicts import agreed_severity, other_suggestions, overlap, superseded
from mesh.agents.review.findings import Conflict, Finding, Missing, Report, Review, Skipped, confirmed, rank_of
from mesh.protocols.artifacts import Confidence, Evidence

SUREST = 0.99
"""No number of finders makes a finding certain."""


def synthesise(changes: ChangeSet, reports: Sequence[Report], missing: Sequence[Missing] = ()) -> Review:
    """One review of everything that was reported. The order of the reports does not matter."""
    findings, doubted = confirmed(reports)
    merged, settled = merge(findings)
    kept, dropped = superseded(merged)
    return Review(
        repo=changes.repo,
        range=changes.range,
        base=changes.base,
        head=changes.head,
        files=len(changes.files),
        added_lines=sum(file.added_lines for file in changes.files),
        removed_lines=sum(file.removed_lines for file in changes.files),
        findings=tuple(ranked(kept)),
        conflicts=tuple(
            sorted((*settled, *dropped), key=lambda each: (each.path, each.line, each.about, each.dropped))
        ),
        missing=tuple(sorted(missing, key=lambda each: each.capability)),
        skipped=tuple(Skipped(path=file.path, reason=file.skipped) for file in changes.files if file.skipped),
        quarantined=tuple(sorted(doubted, key=lambda each: each.id)),
        notes=tuple(dict.fromkeys((*changes.notes, *(note for report in _ordered(reports) for note in report.notes)))),
        agents={report.capability: report.agent for report in _ordered(reports)},
    )


def _ordered(reports: Iterable[Report]) -> list[Report]:
    return sorted(reports, key=lambda report: (report.capability, report.agent))


def _place(finding: Finding) -> tuple[str, int, int, str, str]:
    return finding.path, finding.line, finding.last_line, finding.rule, finding.message


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first; among equals, what more independent sources say, then what is surer, then by place."""
    return sorted(findings, key=_rank)


def _rank(finding: Finding) -> tuple[int, int, float, str, int, str]:
    sources = len({ground.origin for ground in finding.evidence})
    return rank_of(finding.severity), -sources, -finding.confidence.value, finding.path, finding.line, finding.rule


def merge(findings: Sequence[Finding]) -> tuple[list[Finding], list[Conflict]]:
    """Join what means the same at one place."""
    groups: list[list[Finding]] = []
    near: list[list[Finding]] = []
    for finding in sorted(findings, key=_place):
        near = [group for group in near if any(_reaches(other, finding) for other in group)]
        group = next((group for group in near if any(same(finding, other) for other in group)), None)
        if group is None:
            group = []
            groups.append(group)
            near.append(group)
        group.append(finding)
    joined = [_joined(group) for group in groups]
    return [finding for finding, _ in joined], [conflict for _, conflicts in joined for conflict in conflicts]


def _reaches(earlier: Finding, later: Finding) -> bool:
    """Whether a finding earlier in the order of places may still overlap a later one."""
    return earlier.path == later.path and earlier.last_line >= later.line


def same(one: Finding, other: Finding) -> bool:
    """Whether two findings are about the same thing.

    The same topic on a common line; a model has no rules, so from it the same category will do. One rule that speaks of
    two places (a function and one inside it) means two things.
    """
    if not overlap(one, other):
        return False
    if one.rule == other.rule:
        return one.line == other.line and (one.message == other.message or one.topic == "hardcoded-secret")
    if one.topic == other.topic:
        return True
    return one.category == other.category and (_of_model(one) != _of_model(other))


def _of_model(finding: Finding) -> bool:
    return finding.confidence.basis == "self"


def _joined(group: Sequence[Finding]) -> tuple[Finding, list[Conflict]]:
    """One finding for several: the best known words, the grounds of all, and the confidence that they give together."""
    if len(group) == 1:
        return group[0], []
    best = min(group, key=lambda each: (_of_model(each), -each.confidence.value, each.last_line - each.line, each.rule))
    severity, conflicts = agreed_severity(group)
    grounds = tuple({(each.method, each.locator): each for finding in group for each in finding.evidence}.values())
    found_by = tuple(dict.fromkeys(agent for finding in group for agent in finding.found_by))
    whole = msgspec.structs.replace(
        best, severity=severity, evidence=grounds, found_by=found_by, confidence=together(group)
    )
    return whole, [*conflicts, *other_suggestions(best, group)]


def together(group: Sequence[Finding]) -> Confidence:
    """1 - the product of (1 - c) over independent sources, each counted once with its surest finding."""
    surest: dict[str, float] = {}
    for finding in group:
        origin = _origin(finding.evidence)
        surest[origin] = max(finding.confidence.value, surest.get(origin, 0.0))
    value = min(SUREST, 1.0 - math.prod(1.0 - each for each in surest.values()))
    return Confidence(value=value, basis="self" if all(map(_of_model, group)) else "rule")


def _origin(evidence: tuple[Evidence, ...]) -> str:
    return evidence[0].origin or evidence[0].source if evidence else ""
