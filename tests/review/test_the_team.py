"""The whole team on a mesh in memory: real git, real tools, one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.agents.review.analysers.tool import installed
from mesh.agents.review.changes import ChangeSet, ReviewRequest
from mesh.agents.review.findings import Report, Review
from mesh.agents.review.repository import NOT_HERE, Repository
from mesh.agents.review.sample import make_sample, planted, score
from mesh.agents.review.specialists import (
    ComplexityReviewer,
    LogicReviewer,
    QuickReviewer,
    SecurityReviewer,
    StyleReviewer,
)
from mesh.agents.review.synthesiser import Synthesiser
from mesh.agents.review.team import team
from mesh.agents.review.workflow import code_review
from mesh.client.mesh import Mesh
from mesh.host.manifest_reading import read_manifest
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.artifacts import Artifact
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import BadPayload, MeshError, Refused
from mesh.protocols.selection import SelectionPolicy
from mesh.testing.local import local_mesh
from tests.review.repositories import Repo, git

ROOT = Path(__file__).parents[2]
SPECIALISTS = (SecurityReviewer, LogicReviewer, ComplexityReviewer, StyleReviewer)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with local_mesh() as made:
        made.initiator.policy = SelectionPolicy(window=30.0)  # until all have bid: a busy machine takes its time
        yield made


async def staffed(mesh: Mesh, roots: list[Path], *agents: Any) -> None:
    """Host the workflow, the ends of it, and these reviewers."""
    for each in (Repository(roots), Synthesiser, *agents):
        await mesh.host(each)
    await mesh.host_workflow(code_review)


async def reviewed(mesh: Mesh, request: ReviewRequest, **terms: Any) -> tuple[Review, JobHandle]:
    handle = await mesh.submit("code-review", request, **terms)
    return await handle.result(timeout=50, returns=Review), handle


async def test_the_team_reviews_the_sample_as_well_as_its_tools_do(mesh: Mesh, tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "shop")
    await staffed(mesh, [tmp_path], *SPECIALISTS, QuickReviewer)
    review, handle = await reviewed(mesh, ReviewRequest(repo=str(repo)))
    result = score(review, tuple(defect for defect in planted() if not defect.needs or installed(defect.needs)))
    assert result.recall == 1.0
    assert result.precision >= 0.95
    assert set(review.agents.values()) == {
        "security-reviewer",
        "logic-reviewer",
        "complexity-reviewer",
        "style-reviewer",
    }
    assert review.complete
    assert all(finding.found_by and finding.evidence for finding in review.findings)
    state = await handle.state()
    assert {step.key for step in state.steps.values()} == {
        "collect", "security", "logic", "complexity", "style", "synthesize",
    }  # fmt: skip
    assert [artifact.kind for artifact in state.artifacts.values()] == ["review.report"]
    security = next(step for step in state.steps.values() if step.key == "security")
    assert {bid.agent for bid in security.awards[-1].candidates} == {"security-reviewer", "quick-reviewer"}


async def test_a_tight_budget_gives_the_work_to_the_generalist_and_the_review_says_so(
    mesh: Mesh, tmp_path: Path
) -> None:
    repo = make_sample(tmp_path / "shop")
    await staffed(mesh, [tmp_path], SecurityReviewer, QuickReviewer)
    cheap = await mesh.call(
        "review.collect", ReviewRequest(repo=str(repo)), returns=ChangeSet, mode="directed", timeout=20
    )
    report = await mesh.call(
        "review.security", cheap, returns=Report, mode="directed", timeout=20,
        constraints=Constraints(budget=Budget(money=0.002)),
    )  # fmt: skip
    assert report.agent == "quick-reviewer"
    assert any("finds 85%" in note for note in report.notes)


async def test_findings_travel_as_verified_artifacts_with_provenance(mesh: Mesh, tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "shop")
    await staffed(mesh, [tmp_path], SecurityReviewer)
    changes = await mesh.call(
        "review.collect", ReviewRequest(repo=str(repo)), returns=ChangeSet, mode="directed", timeout=20
    )
    report = await mesh.call("review.security", changes, returns=Report, mode="directed", timeout=20)
    artifact: Artifact = report.findings[0]
    assert artifact.kind == "review.finding"
    assert artifact.verified
    assert artifact.provenance.agent == "security-reviewer"
    assert artifact.provenance.inputs
    assert artifact.evidence[0].digest in changes.digests
    again = await mesh.call("review.security", changes, returns=Report, mode="directed", timeout=20)
    assert [each.id for each in again.findings] == [each.id for each in report.findings]


@pytest.mark.usefixtures("without_mypy")
async def test_a_part_that_nobody_does_is_marked_and_the_rest_is_a_review(mesh: Mesh, tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "shop")
    await staffed(mesh, [tmp_path], SecurityReviewer, StyleReviewer, Failing)
    review, _ = await reviewed(mesh, ReviewRequest(repo=str(repo)))
    assert {each.capability for each in review.missing} == {"review.complexity", "review.logic"}
    assert any("handler-failed" in each.reason for each in review.missing)
    assert not review.complete
    assert {finding.category for finding in review.findings} == {"security", "style"}


class Failing(Agent):
    """A reviewer that always fails."""

    @command(capability="review.logic", effect="pure", timeout=5)
    async def logic(self, changes: ChangeSet) -> Report:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        ({"repo": "/etc"}, Refused, "repository-not-allowed"),
        ({"repo": "../.."}, Refused, "repository-not-allowed"),
        ({"repo": "plain"}, BadPayload, "not-a-repository"),
        ({"repo": "missing"}, BadPayload, "not-a-repository"),
        ({"repo": "repo", "range": "--output=x"}, BadPayload, "bad-range"),
        ({"repo": "repo", "range": "nothing..HEAD"}, BadPayload, "bad-range"),
        ({"diff": "this is no patch"}, BadPayload, "bad-patch"),
    ],
)
async def test_a_request_that_cannot_be_reviewed_fails_the_job_with_its_own_error(
    mesh: Mesh, tmp_path: Path, request_: dict[str, str], error: type[MeshError], reason: str
) -> None:
    Repo(tmp_path / "repo").commit({"a.py": "x = 1\n"})
    (tmp_path / "plain").mkdir()
    await staffed(mesh, [tmp_path])
    with pytest.raises(error) as caught:
        await reviewed(mesh, ReviewRequest(**request_))
    assert caught.value.detail["reason"] == reason


@pytest.mark.usefixtures("without_mypy")
async def test_a_patch_alone_is_reviewed_without_any_repository(mesh: Mesh, tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "shop")
    patch = git(repo, "diff", "HEAD~1..HEAD") + "\n"
    await staffed(mesh, [], SecurityReviewer, LogicReviewer, ComplexityReviewer, StyleReviewer)
    review, _ = await reviewed(mesh, ReviewRequest(diff=patch))
    topics = {finding.topic for finding in review.findings}
    assert {"shell-injection", "sql-injection", "hardcoded-secret", "mutable-default"} <= topics
    assert "undefined-name" not in {finding.topic for finding in review.findings if finding.path == "shop/cart.py"}


@pytest.mark.usefixtures("without_mypy")
async def test_a_patch_may_come_by_reference(mesh: Mesh, tmp_path: Path) -> None:
    await staffed(mesh, [], SecurityReviewer, LogicReviewer, ComplexityReviewer, StyleReviewer)
    patch = b"--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+eval(input())\n"
    digest = await (await mesh.peer.payloads.objects()).put(patch)
    review, _ = await reviewed(mesh, ReviewRequest(diff_digest=digest))
    assert review.findings[0].rule == "bandit:B307"


@pytest.mark.usefixtures("without_mypy")
async def test_an_empty_diff_is_an_empty_review(mesh: Mesh, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.commit({"a.py": "x = 1\n"})
    repo.commit({})
    await staffed(mesh, [tmp_path], *SPECIALISTS)
    review, _ = await reviewed(mesh, ReviewRequest(repo="repo"))
    assert (review.files, review.findings, review.complete) == (0, (), True)


@pytest.mark.usefixtures("without_mypy")
async def test_a_large_change_travels_by_reference(mesh: Mesh, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.commit({"seed.py": "x = 1\n"})
    repo.commit({f"pkg/m{number}.py": f"import os\nx = {number}\n" * 40 for number in range(120)})
    await staffed(mesh, [tmp_path], *SPECIALISTS)
    review, _ = await reviewed(mesh, ReviewRequest(repo="repo"))
    assert review.files == 120
    assert review.complete, review.missing
    assert any("milder findings were left out" in note for note in review.notes)


def test_a_host_bids_poorly_for_a_repository_that_it_does_not_have(tmp_path: Path) -> None:
    Repo(tmp_path / "here")
    agent = Repository([tmp_path])

    def bid(request: ReviewRequest) -> float:
        call = CallForProposal(
            conversation="c", capability="review.collect", window=1.0, input=msgspec.Raw(msgspec.json.encode(request))
        )
        made = agent.bid_collect(call, Bid())
        assert made is not None
        return made.success

    assert bid(ReviewRequest(repo="here")) == 1.0
    assert bid(ReviewRequest(repo="elsewhere")) == NOT_HERE
    assert bid(ReviewRequest(diff="x")) == 1.0


def test_the_manifest_at_the_root_is_the_team() -> None:
    manifest = read_manifest(ROOT / "mesh.toml")
    own = team({"MESH_MODEL": "test"})
    assert manifest.agents == own.agents
    assert manifest.workflows == own.workflows
    assert not any("llm" in agent.use for agent in team({}).agents)
