"""`mesh review` as a user runs it: in a process of its own, with and without a mesh that can do it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.agents.review.repository import Repository
from mesh.agents.review.sample import make_sample
from mesh.agents.review.specialists import ComplexityReviewer, LogicReviewer, SecurityReviewer, StyleReviewer
from mesh.agents.review.synthesiser import Synthesiser
from mesh.agents.review.workflow import code_review
from mesh.client.mesh import Mesh
from tests.command_line import run_mesh
from tests.review.repositories import Repo, git
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

TEAM = (SecurityReviewer, LogicReviewer, ComplexityReviewer, StyleReviewer, Synthesiser)


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> Any:
        return json.loads(self.out)


async def mesh_review(*arguments: str, cwd: Path, stdin: bytes = b"", **environ: str) -> Said:
    """Run `mesh review` to its end."""
    ended = await asyncio.to_thread(run_mesh, "review", *arguments, folder=cwd, given=stdin, **environ)
    return Said(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
async def served(tmp_path: Path, without_mypy: None) -> AsyncIterator[str]:
    """The URL of a server on which a team waits that may review everything below `tmp_path / "allowed"`."""
    with RealServer(tmp_path / "server") as server:
        async with Mesh.connect(server.url, name="team") as mesh:
            for each in (Repository([tmp_path / "allowed"]), *TEAM):
                await mesh.host(each)
            await mesh.host_workflow(code_review)
            yield server.url
            await mesh.drain()


async def test_a_mesh_that_offers_the_workflow_does_it(served: str, tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "allowed" / "shop")
    said = await mesh_review("--format", "json", cwd=repo, NATS_URL=served)
    assert said.code == 0, said.err
    assert "starting a team" not in said.err
    assert "security-reviewer." in said.err
    assert said.body["counts"]["high"] >= 9
    assert said.body["repo"] == str(repo)
    quiet = await mesh_review("--server", served, "--fail-on", "critical", "--format", "markdown", cwd=repo)
    assert (quiet.code, quiet.out.split("\n")[0]) == (0, "# Code review")
    failed = await mesh_review("shop", "--server", served, "--fail-on", "high", "--format", "sarif", cwd=repo)
    assert failed.code == 1
    assert failed.body["version"] == "2.1.0"


async def test_a_patch_is_reviewed_from_a_file_or_from_stdin(served: str, tmp_path: Path) -> None:
    patch = b"--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+eval(input())\n"
    (tmp_path / "x.patch").write_bytes(patch)
    for arguments, stdin in ((["--diff", "x.patch"], b""), (["--diff", "-"], patch)):
        said = await mesh_review(*arguments, "-o", "json", "--server", served, cwd=tmp_path, stdin=stdin)
        assert said.code == 0, said.err
        assert said.body["findings"][0]["rule"] == "bandit:B307"


async def test_a_large_patch_that_is_not_utf8_goes_by_reference(served: str, tmp_path: Path) -> None:
    lines = b"".join(b"+name_%d = '\xe9'\n" % number for number in range(15_000))
    patch = b"--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,15001 @@\n" + lines + b"+eval(input())\n"
    said = await mesh_review("--diff", "-", "-o", "json", "--server", served, cwd=tmp_path, stdin=patch)
    assert said.code == 0, said.err
    assert said.body["added_lines"] == 15_001


async def test_without_a_mesh_a_team_is_started_and_said_so(tmp_path: Path) -> None:
    repo = make_sample(tmp_path / "shop")
    said = await mesh_review(cwd=repo)
    assert said.code == 0, said.err
    assert "no mesh is configured; starting a team for this review" in said.err
    assert "shell=True" in said.out
    assert "security-reviewer" in said.out
    assert git(repo, "status", "--porcelain") == ""


async def test_a_mesh_that_does_not_allow_the_repository_is_passed_over_and_said_so(
    served: str, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "elsewhere")
    repo.commit({"a.py": "x = 1\n"})
    repo.commit({"a.py": "eval(input())\n"})
    git(repo.path, "worktree", "add", "-q", str(tmp_path / "tree"))
    said = await mesh_review("-o", "json", cwd=tmp_path / "tree", NATS_URL=served)
    assert said.code == 0, said.err
    assert "cannot review this repository" in said.err
    assert said.body["findings"][0]["rule"] == "bandit:B307"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plain"], "no git repository"),
        (["missing"], "not a folder"),
        (["repo", "--range", "--output=written"], "names no commit"),
        (["repo", "--range", "nothing..HEAD"], "names no commit"),
        (["--diff", "missing.patch"], "cannot read"),
        (["--diff", "-"], "empty"),
        (["repo", "--diff", "-", "--range", "HEAD"], "give one of them"),
        (["repo", "--format", "pdf"], "pdf"),
        (["repo", "--fail-on", "awful"], "awful"),
    ],
)
async def test_what_cannot_be_reviewed_is_said_at_once(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "plain").mkdir()
    Repo(tmp_path / "repo").commit({"a.py": "x = 1\n"})
    said = await mesh_review(*arguments, cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert "starting a team" not in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "written").exists()
    assert not (tmp_path / "repo" / "written").exists()


async def test_a_server_that_was_asked_for_by_name_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    Repo(tmp_path).commit({"a.py": "x = 1\n"})
    said = await mesh_review("--server", "nats://127.0.0.1:1", cwd=tmp_path)
    assert said.code == 3
    assert "starting a team" not in said.err
