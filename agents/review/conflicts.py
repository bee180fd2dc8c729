"""Where two agents disagree about one place: which one is followed, and why. Pure.

Two ways to disagree. About the *same* thing: one says it is worse than the other does, or a model proposes another way
out than a rule. About *different* things whose advice cannot both be followed: then a table says which goes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.agents.review.findings import Conflict, Finding, Severity, rank_of


@dataclass(frozen=True)
class Precedence:
    """Where findings of both topics meet, `first` is followed and `second` dropped, for this reason."""

    first: str
    second: str
    reason: str


_REFORMAT = "another way of putting the text together would keep the injection: the values must leave the text"
_SUPPRESS = "contextlib.suppress would hide the same exceptions: which of them can be handled must be decided first"

PRECEDENCES = (
    *(Precedence("sql-injection", f"ruff:{rule}", _REFORMAT) for rule in ("UP030", "UP031", "UP032")),
    Precedence("bare-except", "ruff:SIM105", _SUPPRESS),
    Precedence("swallowed-exception", "ruff:SIM105", _SUPPRESS),
    Precedence("bare-except", "swallowed-exception", "one change answers both: name the exception, and handle it"),
    Precedence(
        "complex-function",
        "ruff:SIM108",
        "the function has too many ways through it: take it apart before packing it tighter",
    ),
    Precedence("unused-import", "ruff:UP035", "the import goes away altogether"),
    Precedence("unused-variable", "ruff:N806", "the variable goes away altogether"),
    Precedence(
        "ruff:D211", "ruff:D203", "they exclude each other; no blank line before a class docstring is ruff's default"
    ),
    Precedence("ruff:D212", "ruff:D213", "they exclude each other; a summary on the first line is ruff's default"),
)

_BY_TOPICS = {(each.first, each.second): each for each in PRECEDENCES}
_FIRST = {each.first for each in PRECEDENCES}
_SECOND = {each.second for each in PRECEDENCES}


def overlap(one: Finding, other: Finding) -> bool:
    """Whether both are about a common line of one file."""
    return one.path == other.path and one.line <= other.last_line and other.line <= one.last_line


def superseded(findings: Sequence[Finding]) -> tuple[list[Finding], list[Conflict]]:
    """The findings whose advice can be followed together, and what was dropped for which reason."""
    stronger: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.topic in _FIRST:
            stronger[finding.path].append(finding)
    kept: list[Finding] = []
    conflicts: list[Conflict] = []
    for finding in findings:
        rivals = stronger[finding.path] if finding.topic in _SECOND else []
        conflict = next(filter(None, (_superseded(finding, rival) for rival in rivals)), None)
        if conflict is None:
            kept.append(finding)
        else:
            conflicts.append(conflict)
    return kept, conflicts


def _superseded(second: Finding, first: Finding) -> Conflict | None:
    rule = _BY_TOPICS.get((first.topic, second.topic))
    if rule is None or not overlap(first, second):
        return None
    return Conflict(
        path=second.path,
        line=second.line,
        about="superseded",
        kept=f"{_said_by(first)}: {first.message}",
        dropped=f"{_said_by(second)}: {second.message}",
        reason=rule.reason,
    )


def _said_by(finding: Finding) -> str:
    """Every rule that a finding was joined from."""
    return ", ".join(dict.fromkeys((finding.rule, *(ground.method for ground in finding.evidence))))


def agreed_severity(findings: Sequence[Finding]) -> tuple[Severity, list[Conflict]]:
    """One severity for findings that mean the same.

    About security the worse opinion stands; elsewhere the surer one, and the worse where both are as sure.
    """
    if findings[0].category == "security":
        best, reason = min(findings, key=_badness), "about security, the worse of two opinions stands"
    else:
        best, reason = (
            min(findings, key=lambda each: (-each.confidence.value, *_badness(each))),
            "the surer finder is followed",
        )
    others = {each.severity: each for each in findings if each.severity != best.severity}
    return best.severity, [
        Conflict(
            path=best.path,
            line=best.line,
            about="severity",
            kept=f"{best.severity} ({best.rule})",
            dropped=f"{other.severity} ({other.rule})",
            reason=reason,
        )
        for other in others.values()
    ]


def _badness(finding: Finding) -> tuple[int, float]:
    return rank_of(finding.severity), -finding.confidence.value


def other_suggestions(kept: Finding, findings: Sequence[Finding]) -> list[Conflict]:
    """A model that proposes something else than the rule does: kept on record, not followed."""
    others = {each.suggestion: each for each in findings if each.confidence.basis == "self" and each.suggestion}
    return [
        Conflict(
            path=kept.path,
            line=kept.line,
            about="suggestion",
            kept=f"{kept.suggestion} ({kept.rule})",
            dropped=f"{suggestion} ({other.rule})",
            reason="what a rule proposes was checked by its authors; a model's proposal is advice",
        )
        for suggestion, other in others.items()
        if kept.confidence.basis != "self" and kept.suggestion and suggestion != kept.suggestion
    ]
