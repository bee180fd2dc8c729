"""What a reviewer says: `Finding`, its form as an artifact with evidence, a specialist's `Report`, and the final `Review`.

Specialists hand on artifacts; the synthesiser reads them back as findings, and nothing downstream reads a finding that
no gate has passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from mesh.protocols.artifacts import Artifact, Confidence, Evidence, Provenance, Verdict

Severity = Literal["critical", "high", "medium", "low", "info"]
Category = Literal["security", "logic", "complexity", "style"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""From worst to mildest."""

KIND = "review.finding"
"""The kind of the artifact that carries a finding."""


def rank_of(severity: Severity) -> int:
    """0 is the worst."""
    return SEVERITIES.index(severity)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that is wrong at one place of the after side.

    `rule` is the finder's own name for it (`bandit:B602`), `topic` the name shared by rules of different tools that mean
    the same. `found_by` names the agents, `evidence` the grounds.
    """

    path: str
    line: int
    severity: Severity
    category: Category
    rule: str
    message: str
    end_line: int = 0
    topic: str = ""
    suggestion: str = ""
    evidence: tuple[Evidence, ...] = ()
    confidence: Confidence = Confidence(value=0.8, basis="rule")
    found_by: tuple[str, ...] = ()

    @property
    def last_line(self) -> int:
        """The last line it is about."""
        return max(self.line, self.end_line)

    @property
    def id(self) -> str:
        """The same for the same statement about the same bytes, whoever makes it, however often."""
        seen = self.evidence[0].digest if self.evidence else ""
        text = "\0".join((self.path, str(self.line), self.rule, self.message, seen))
        return f"finding-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:20]}"

    def at_least(self, severity: Severity) -> bool:
        """Whether it is as bad as `severity`, or worse."""
        return rank_of(self.severity) <= rank_of(severity)


def to_artifact(finding: Finding, provenance: Provenance, *, verdicts: tuple[Verdict, ...], made_at: float) -> Artifact:
    """The finding as it is handed on: the claim is the content, grounds and confidence are the artifact's own."""
    bare = msgspec.structs.replace(finding, evidence=(), confidence=Confidence(value=0.8, basis="rule"))
    return Artifact(
        id=finding.id,
        kind=KIND,
        provenance=provenance,
        content=msgspec.to_builtins(bare),
        evidence=finding.evidence,
        confidence=finding.confidence,
        verdicts=verdicts,
        made_at=made_at,
    )


def from_artifact(artifact: Artifact) -> Finding:
    """The finding in an artifact, its author added to `found_by`.

    Raises:
        ValueError: the artifact is of another kind, or its content is not a finding.
    """
    if artifact.kind != KIND:
        raise ValueError(f"artifact {artifact.id} is a {artifact.kind}, not a {KIND}")
    finding = msgspec.convert(artifact.content, Finding)
    found_by = tuple(dict.fromkeys((*finding.found_by, artifact.provenance.agent)))
    return msgspec.structs.replace(
        finding, evidence=artifact.evidence, confidence=artifact.confidence, found_by=tuple(filter(None, found_by))
    )


class Report(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one specialist hands back. `notes` say what it could not do (a tool missing, a file that does not parse)."""

    agent: str
    capability: str
    findings: tuple[Artifact, ...] = ()
    notes: tuple[str, ...] = ()


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the review that nobody delivered, and why."""

    capability: str
    reason: str


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A file that nobody analysed, and why."""

    path: str
    reason: str


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two agents disagreed about one place: what was kept, what was not, and the reason."""

    path: str
    line: int
    about: Literal["severity", "suggestion", "superseded"]
    kept: str
    dropped: str
    reason: str


class Review(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The whole review: findings ranked worst first, what was disagreed on, and what could not be looked at."""

    repo: str = ""
    range: str = ""
    base: str = ""
    head: str = ""
    files: int = 0
    added_lines: int = 0
    removed_lines: int = 0
    findings: tuple[Finding, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    missing: tuple[Missing, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    quarantined: tuple[Artifact, ...] = ()
    notes: tuple[str, ...] = ()
    agents: dict[str, str] = {}

    @property
    def complete(self) -> bool:
        """Whether every part of the review was delivered."""
        return not self.missing

    def counts(self) -> dict[Severity, int]:
        """How many findings of each severity, worst first, those with none left out."""
        every = [finding.severity for finding in self.findings]
        return {severity: every.count(severity) for severity in SEVERITIES if severity in every}

    def worst_at_least(self, severity: Severity) -> bool:
        """Whether any finding is as bad as `severity`, or worse."""
        return any(finding.at_least(severity) for finding in self.findings)


def confirmed(reports: Iterable[Report]) -> tuple[list[Finding], list[Artifact]]:
    """The findings that a gate has passed, and the artifacts that none has, or that are no findings."""
    passed: list[Finding] = []
    doubted: list[Artifact] = []
    for report in reports:
        for artifact in report.findings:
            finding = _confirmed(artifact)
            if finding is not None:
                passed.append(finding)
            else:
                doubted.append(artifact)
    return passed, doubted


def _confirmed(artifact: Artifact) -> Finding | None:
    """Whoever won a part of the review may be of another version, or somebody else's altogether."""
    try:
        return from_artifact(artifact) if artifact.verified else None
    except ValueError:
        return None


def as_json(review: Review) -> dict[str, Any]:
    """The review as JSON-able builtins, with the counts that a script would want."""
    body: dict[str, Any] = msgspec.to_builtins(review)
    return {"complete": review.complete, "counts": review.counts(), **body, "findings": body.get("findings", [])}
