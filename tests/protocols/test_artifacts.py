"""An artifact is a claim with its grounds."""

from __future__ import annotations

import msgspec
import pytest

from mesh.protocols.artifacts import Artifact, Confidence, Evidence, Provenance, Verdict

CLAIM = Artifact(
    id="a1",
    kind="review.finding",
    provenance=Provenance(agent="security", version="1.0"),
    content={"path": "app.py", "line": 3},
    evidence=(Evidence(source="app.py", locator="3", method="bandit/B602", excerpt="shell=True"),),
    confidence=Confidence(value=0.9, basis="rule"),
    made_at=100.0,
    ttl=60.0,
)


def test_an_artifact_survives_the_wire() -> None:
    assert msgspec.json.decode(msgspec.json.encode(CLAIM), type=Artifact) == CLAIM


def test_nothing_is_verified_until_somebody_has_checked_it() -> None:
    assert not CLAIM.verified
    assert CLAIM.with_verdict(Verdict(gate="schema", result="pass", by="gate")).verified


@pytest.mark.parametrize("result", ["fail", "cannot_verify"])
def test_one_gate_that_does_not_pass_is_enough_to_leave_it_unverified(result: str) -> None:
    passed = CLAIM.with_verdict(Verdict(gate="schema", result="pass", by="gate"))
    verdict = msgspec.convert({"gate": "semantic", "result": result, "by": "gate"}, Verdict)
    assert not passed.with_verdict(verdict).verified


def test_two_grounds_from_one_origin_are_one_source() -> None:
    grounds = (
        Evidence(source="page-1", method="search", origin="wire-report"),
        Evidence(source="page-2", method="search", origin="wire-report"),
        Evidence(source="page-3", method="search"),
    )
    assert msgspec.structs.replace(CLAIM, evidence=grounds).independent_sources == 2


def test_an_artifact_expires_at_the_end_of_its_time() -> None:
    assert not CLAIM.expired(159.9)
    assert CLAIM.expired(160.0)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_confidence_outside_zero_and_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Confidence(value=value)
