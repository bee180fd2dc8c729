"""One review of many reports: joined, settled, ranked, whatever the order they come in."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agents.review.changes import ChangeSet, FileChange
from mesh.agents.review.findings import SEVERITIES, Finding, Missing, Report, Review, rank_of, to_artifact
from mesh.agents.review.synthesis import synthesise
from mesh.agents.review.topics import topic_of
from mesh.protocols.artifacts import Confidence, Evidence, Provenance, Verdict

PASS = Verdict(gate="g", result="pass", by="x")
DOUBT = Verdict(gate="g", result="cannot_verify", by="x", reason="no such line")


def finding(rule: str, *, line: int = 5, sure: float = 0.8, origin: str = "", **more: Any) -> Finding:
    """A finding of a rule at a line of a.py."""
    basis: Any = "self" if rule.startswith("model") else "rule"
    return Finding(**{
        "path": "a.py", "line": line, "severity": "medium", "category": "logic", "rule": rule, "topic": topic_of(rule),
        "message": f"{rule} says so", "confidence": Confidence(value=sure, basis=basis),
        "evidence": (Evidence(source="a.py", method=rule, origin=origin or rule, locator=str(line)),), **more,
    })  # fmt: skip


def report(agent: str, *findings: Finding, verdict: Verdict = PASS) -> Report:
    """What an agent hands back."""
    made = tuple(to_artifact(each, Provenance(agent=agent), verdicts=(verdict,), made_at=1.0) for each in findings)
    return Report(agent=agent, capability=f"review.{agent}", findings=made)


def review(*reports: Report) -> Review:
    return synthesise(ChangeSet(), reports)


def test_the_same_thing_said_by_two_agents_is_one_finding_with_both_grounds() -> None:
    made = review(
        report("logic", finding("ruff:F401", origin="pyflakes")), report("dead", finding("vulture:unused-import"))
    )
    (joined,) = made.findings
    assert set(joined.found_by) == {"logic", "dead"}
    assert {ground.method for ground in joined.evidence} == {"ruff:F401", "vulture:unused-import"}


def test_two_sources_make_it_surer_and_one_source_twice_does_not() -> None:
    two = review(
        report("a", finding("ruff:F401", origin="x")), report("b", finding("vulture:unused-import", origin="y"))
    )
    one = review(
        report("a", finding("bandit:B602", origin="bandit")), report("b", finding("ruff:S602", origin="bandit"))
    )
    assert two.findings[0].confidence.value > 0.95
    assert one.findings[0].confidence.value == 0.8


def test_other_topics_other_lines_and_other_files_stay_apart() -> None:
    every = [
        finding("ruff:F401"),
        finding("ruff:B006"),
        finding("ruff:F401", line=9),
        finding("ruff:F401", path="b.py"),
    ]
    assert len(review(report("a", *every)).findings) == 4


def test_one_rule_about_a_function_and_one_inside_it_is_two_findings() -> None:
    outer = finding("radon:complexity", line=1, end_line=50, message="outer")
    inner = finding("radon:complexity", line=10, end_line=20, message="inner")
    assert len(review(report("a", outer, inner)).findings) == 2


def test_a_disagreement_about_severity_follows_the_surer_and_keeps_the_reason() -> None:
    surer = finding("radon:complexity", severity="low", category="complexity", sure=0.95)
    other = finding("ruff:C901", severity="medium", category="complexity", sure=0.7)
    made = review(report("a", surer), report("b", other))
    assert made.findings[0].severity == "low"
    (conflict,) = made.conflicts
    assert (conflict.about, conflict.kept, conflict.dropped) == (
        "severity",
        "low (radon:complexity)",
        "medium (ruff:C901)",
    )
    assert "surer" in conflict.reason


def test_about_security_the_worse_opinion_stands() -> None:
    mild = finding("bandit:B602", severity="low", category="security", sure=0.9)
    grave = finding("ruff:S602", severity="high", category="security", sure=0.5)
    made = review(report("a", mild), report("b", grave))
    assert made.findings[0].severity == "high"
    assert "worse" in made.conflicts[0].reason


def test_advice_that_cannot_be_followed_together_is_settled_by_a_rule() -> None:
    injection = finding("bandit:B608", category="security")
    rewrite = finding("ruff:UP031", category="style")
    made = review(report("security", injection), report("style", rewrite))
    assert [each.rule for each in made.findings] == ["bandit:B608"]
    (conflict,) = made.conflicts
    assert conflict.about == "superseded"
    assert "injection" in conflict.reason


def test_the_same_advice_elsewhere_is_kept() -> None:
    made = review(
        report("a", finding("bandit:B608", category="security"), finding("ruff:UP031", line=9, category="style"))
    )
    assert len(made.findings) == 2


def test_a_model_that_agrees_adds_weight_and_its_other_way_out_is_kept_on_record() -> None:
    rule = finding("ruff:B006", suggestion="Default to None.")
    model = finding("model:review", line=4, end_line=6, suggestion="Use a tuple.", topic="model:logic")
    made = review(report("logic", rule), report("llm", model))
    (joined,) = made.findings
    assert (joined.rule, joined.suggestion, joined.confidence.basis) == ("ruff:B006", "Default to None.", "rule")
    assert [conflict.dropped for conflict in made.conflicts] == ["Use a tuple. (model:review)"]


@pytest.mark.parametrize("content", [{}, {"severity": "worst"}, None, "text", {"line": "x"}])
def test_an_artifact_that_is_no_finding_is_kept_apart_and_the_rest_is_a_review(content: object) -> None:
    """Any agent may win a part of a review; one of another version must not cost the others' findings."""
    good = report("security", finding("bandit:B602"))
    (artifact,) = good.findings
    bad = msgspec.structs.replace(artifact, content=content)
    other = msgspec.structs.replace(artifact, kind="poem")
    made = review(good, msgspec.structs.replace(good, findings=(bad, other)))
    assert len(made.findings) == 1
    assert made.quarantined == (bad, other)


def test_what_no_gate_has_passed_is_kept_apart() -> None:
    made = review(report("llm", finding("model:review"), verdict=DOUBT))
    assert made.findings == ()
    assert [artifact.verdicts[0].reason for artifact in made.quarantined] == ["no such line"]


def test_missing_parts_and_skipped_files_are_in_the_review() -> None:
    changes = ChangeSet(files=(FileChange(path="x.png", status="modified", content="binary", skipped="binary"),))
    made = synthesise(changes, [], [Missing(capability="review.style", reason="timed-out: slow")])
    assert not made.complete
    assert made.missing[0].capability == "review.style"
    assert made.skipped[0].path == "x.png"


FINDINGS = st.builds(
    lambda rule, line, length, severity, sure, path: finding(
        rule, line=line, end_line=line + length, severity=severity, sure=sure, path=path
    ),
    st.sampled_from(
        ["ruff:F401", "vulture:unused-import", "bandit:B608", "ruff:UP031", "radon:complexity", "model:review"]
    ),
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from(SEVERITIES),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.sampled_from(["a.py", "b.py"]),
)


@given(st.lists(FINDINGS, max_size=14), st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_matter_and_the_worst_comes_first(
    findings: list[Finding], chance: random.Random
) -> None:
    reports = [report(f"agent{number}", each) for number, each in enumerate(findings)]
    made = review(*reports)
    shuffled = list(reports)
    chance.shuffle(shuffled)
    again = review(*shuffled)
    assert [(f.rule, f.path, f.line, f.severity) for f in again.findings] == [
        (f.rule, f.path, f.line, f.severity) for f in made.findings
    ]
    ranks = [rank_of(each.severity) for each in made.findings]
    assert ranks == sorted(ranks)


@given(st.lists(FINDINGS, max_size=14))
def test_no_finding_is_lost_without_a_trace(findings: list[Finding]) -> None:
    made = review(*(report(f"agent{number}", each) for number, each in enumerate(findings)))
    kept = {ground.method for each in made.findings for ground in each.evidence}
    dropped = {rule for conflict in made.conflicts for rule in conflict.dropped.partition(": ")[0].split(", ")}
    assert {each.rule for each in findings} <= kept | dropped
