"""The sample that ships: every planted defect is where it is said to be, and the team finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from mesh.agents.review.analysers.tool import installed
from mesh.agents.review.calibration import QUICK as QUICK_BIDS
from mesh.agents.review.calibration import THOROUGH as THOROUGH_BIDS
from mesh.agents.review.collect import Collected, collect
from mesh.agents.review.errors import GitFailed
from mesh.agents.review.findings import Category, Report, Review, to_artifact
from mesh.agents.review.inspection import QUICK, THOROUGH, inspect
from mesh.agents.review.observation import Analyser
from mesh.agents.review.sample import FOLDER, Defect, make_sample, planted, score
from mesh.agents.review.synthesis import synthesise
from mesh.protocols.artifacts import Provenance, Verdict
from tests.review.repositories import git

DEFECTS = tuple(defect for defect in planted() if not defect.needs or installed(defect.needs))


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return asyncio.run(collect(make_sample(tmp_path_factory.mktemp("sample") / "shop")))


async def reviewed(collected: Collected, tools: Mapping[str, tuple[Analyser, ...]]) -> Review:
    async def part(capability: str) -> Report:
        result = await inspect(collected.changes, collected.blobs, tools[capability])
        passed = (Verdict(gate="g", result="pass", by=capability),)
        who = Provenance(agent=capability)
        made = tuple(to_artifact(each, who, verdicts=passed, made_at=0.0) for each in result.findings)
        return Report(agent=capability, capability=capability, findings=made, notes=result.notes)

    return synthesise(collected.changes, await asyncio.gather(*map(part, tools)))


async def test_the_team_finds_every_planted_defect_and_hardly_anything_else(collected: Collected) -> None:
    """Measured: recall 1.00 and precision 0.96 (one label that sounds like a password, reported as low)."""
    review = await reviewed(collected, THOROUGH)
    result = score(review, DEFECTS)
    assert result.missed == ()
    assert result.recall == 1.0
    assert result.precision >= 0.95, result.wrong
    assert all(finding.severity in {"low", "info"} for finding in result.wrong)
    assert review.notes == ()


async def test_the_sample_has_a_disagreement_that_is_settled_with_a_reason(collected: Collected) -> None:
    (conflict,) = (await reviewed(collected, THOROUGH)).conflicts
    assert (conflict.path, conflict.about) == ("shop/accounts.py", "superseded")
    assert "keep the injection" in conflict.reason


async def test_old_faults_are_not_reported(collected: Collected) -> None:
    review = await reviewed(collected, THOROUGH)
    assert not [finding for finding in review.findings if finding.path in {"shop/legacy.py", "shop/models.py"}]


@pytest.mark.parametrize("capability", sorted(QUICK))
async def test_the_coverage_that_the_generalist_bids_is_the_coverage_it_has(
    collected: Collected, capability: str
) -> None:
    assert measured(await reviewed(collected, {capability: QUICK[capability]}), capability) == pytest.approx(
        QUICK_BIDS[capability].coverage, abs=0.06
    )


@pytest.mark.parametrize("capability", sorted(THOROUGH))
async def test_the_coverage_that_a_specialist_bids_is_the_coverage_it_has(
    collected: Collected, capability: str
) -> None:
    share = measured(await reviewed(collected, {capability: THOROUGH[capability]}), capability, planted_=DEFECTS)
    assert share >= THOROUGH_BIDS[capability].coverage


def measured(review: Review, capability: str, planted_: tuple[Defect, ...] | None = None) -> float:
    category: Category = capability.rpartition(".")[2]  # type: ignore[assignment]
    own = [defect for defect in planted_ or planted() if defect.category == category]
    return sum(any(map(defect.found_by, review.findings)) for defect in own) / len(own)


def test_every_planted_defect_stands_where_it_is_said_to() -> None:
    for defect in planted():
        lines = (FOLDER / "after" / defect.path).read_text().split("\n")
        assert defect.text in lines[defect.line - 1], defect


def test_there_is_a_defect_of_every_kind() -> None:
    assert {defect.category for defect in planted()} == {"security", "logic", "complexity", "style"}


def test_the_sample_is_the_same_commit_everywhere_and_is_not_made_over_something(tmp_path: Path) -> None:
    one, other = make_sample(tmp_path / "one"), make_sample(tmp_path / "other")
    assert git(one, "rev-parse", "HEAD") == git(other, "rev-parse", "HEAD")
    with pytest.raises(FileExistsError):
        make_sample(one)


async def test_the_sample_has_every_kind_of_change(collected: Collected) -> None:
    assert {file.status for file in collected.changes.files} >= {"added", "modified", "deleted", "renamed"}
    assert any(file.content == "binary" for file in collected.changes.files)


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho unknown option >&2\nexit 129\n"], ids=["none", "too-old"])
def test_without_a_git_that_can_make_it_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """A small container has none, and `mesh demo` is what people try first."""
    (tmp_path / "bin").mkdir()
    if program is not None:
        (tmp_path / "bin" / "git").write_text(program)
        (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(GitFailed, match="git is not installed" if program is None else "git init"):
        make_sample(tmp_path / "shop")
