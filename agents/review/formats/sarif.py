"""A review as SARIF 2.1.0 (OASIS), which code hosts and editors read."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from mesh.agents.review.findings import Finding, Review, Severity
from mesh.agents.review.formats.escaping import json_text
from mesh.agents.review.formats.summary import remarks

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: dict[Severity, str] = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
SCORES: dict[Severity, str] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "1.0"}
"""What code hosts read from `security-severity`, from 0 to 10."""


def sarif(review: Review) -> str:
    """One run with one result a finding."""
    rules = {finding.rule: finding for finding in reversed(review.findings)}
    order = {rule: number for number, rule in enumerate(sorted(rules))}
    driver = {
        "name": "natsmesh code-review",
        "semanticVersion": version("natsmesh"),
        "rules": [_rule(rules[rule]) for rule in order],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The top of the reviewed repository."}}},
        "results": [_result(finding, order[finding.rule]) for finding in review.findings],
        "invocations": [_invocation(review)],
        "properties": {"base": review.base, "head": review.head, "repo": review.repo},
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json_text(log) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    properties: dict[str, Any] = {"tags": [finding.category]}
    if finding.category == "security":
        properties["security-severity"] = SCORES[finding.severity]
    return {
        "id": finding.rule,
        "name": finding.topic or finding.rule,
        "shortDescription": {"text": (finding.topic or finding.rule).replace("-", " ")},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
        "properties": properties,
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    text = finding.message + (f" {finding.suggestion}" if finding.suggestion else "")
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": _location(finding)}],
        "partialFingerprints": {"finding/v1": finding.id},
        "properties": {
            "severity": finding.severity,
            "category": finding.category,
            "confidence": finding.confidence.value,
            "foundBy": list(finding.found_by),
            "methods": [ground.method for ground in finding.evidence],
        },
    }


def _location(finding: Finding) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(1, finding.line), "endLine": max(1, finding.last_line)}
    excerpt = finding.evidence[0].excerpt if finding.evidence else ""
    if excerpt:
        region["snippet"] = {"text": excerpt}
    return {"artifactLocation": {"uri": quote(finding.path), "uriBaseId": "ROOT"}, "region": region}


def _invocation(review: Review) -> dict[str, Any]:
    notices = [{"level": "note", "message": {"text": remark}} for remark in remarks(review)]
    return {"executionSuccessful": review.complete, "toolExecutionNotifications": notices}
