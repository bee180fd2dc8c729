"""The wheel as users have it: installed, not editable, far from the tree.

Two environments, each made once: a plain install, and one with the review's tools beside another package's `agents`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.agents.review.sample import FOLDER, planted
from tests.packaging.installed import Environment, built_wheel, environment

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(240)]

ABOUT = """
import importlib.resources as resources, json
from importlib.metadata import distribution
import mesh, mesh.protocols, mesh.registry, mesh.agents
from mesh.agents.review.sample import FOLDER
whole = distribution("natsmesh")
print(json.dumps({
    "scripts": {each.name: each.value for each in whole.entry_points if each.group == "console_scripts"},
    "pytest11": {each.name: each.value for each in whole.entry_points if each.group == "pytest11"},
    "typed": (resources.files("mesh") / "py.typed").is_file(),
    "sample": sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"),
    "top": sorted({file.parts[0] for file in whole.files if ".dist-info" not in file.parts[0] and file.parts[0] != ".."}),
    "extras": sorted(whole.metadata.get_all("Provides-Extra")),
    "license": whole.metadata["License-Expression"],
    "readme": whole.metadata.get_payload()[:10],
    "where": mesh.protocols.__file__,
}))
"""


def review_of(environment: Environment, folder: Path) -> tuple[dict[str, object], str]:
    """What `mesh demo` finds in an empty folder, and what it says about it."""
    folder.mkdir()
    ended = environment.run("mesh", "demo", "-o", "json", cwd=folder, timeout=90)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


def found(review: dict[str, object]) -> float:
    """The share of what is planted in the sample that was found."""
    places = {(each["path"], each["category"]): each for each in review["findings"]}  # type: ignore[attr-defined]
    return sum((defect.path, defect.category) in places for defect in planted()) / len(planted())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def plain(wheel: Path, tmp_path: Path) -> Environment:
    return environment(tmp_path / "plain", str(wheel))


@pytest.fixture
def beside_openai_agents(wheel: Path, tmp_path: Path) -> Environment:
    return environment(tmp_path / "full", f"{wheel}[review]", "openai-agents", "pytest")


def test_a_plain_install(plain: Environment, tmp_path: Path) -> None:
    """Whole, under one import root, with a demo that works and says what it goes without."""
    about = json.loads(plain.python(ABOUT, cwd=tmp_path))
    assert about["scripts"] == {"mesh": "mesh.cli.main:main"}
    assert about["pytest11"] == {"mesh.testing.pytest_plugin": "mesh.testing.pytest_plugin"}
    assert about["typed"]
    assert about["top"] == ["mesh"]
    assert about["sample"] == sorted(
        str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"
    )
    assert {"review", "llm", "yaml", "nkeys"} <= set(about["extras"])
    assert (about["license"], about["readme"][:6]) == ("Apache-2.0", "# mesh")
    assert about["where"].startswith(str(plain.folder))
    shown = plain.run("mesh", "--version", cwd=tmp_path)
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "mesh")

    review, said = review_of(plain, tmp_path / "empty")
    assert review["complete"] is True
    assert found(review) >= 0.9
    assert "not installed: bandit, detect-secrets, radon, ruff, vulture" in said
    assert "pip install 'natsmesh[review]'" in said
    assert list((tmp_path / "empty" / ".mesh").glob("*")) == []

    patch = plain.run("mesh", "review", "--diff", str(plain.folder / "pyvenv.cfg"), cwd=tmp_path)
    assert patch.returncode == 2
    assert "needs unidiff: pip install 'natsmesh[review]'" in patch.stderr


def test_with_the_review_tools_beside_another_package_named_agents(
    beside_openai_agents: Environment, tmp_path: Path
) -> None:
    """Both packages are whole; the demo uses the tools; a new agent passes its test."""
    both = "import agents; from mesh.agents.review import team; print(agents.Runner.__name__, len(team.AGENTS), team.shortage())"
    assert beside_openai_agents.python(both, cwd=tmp_path) == "Runner 8"
    review, said = review_of(beside_openai_agents, tmp_path / "empty")
    assert review["complete"] is True
    assert found(review) >= 0.95
    assert "not installed" not in said
    assert "security-reviewer" in review["agents"].values()  # type: ignore[attr-defined]

    folder = tmp_path / "new"
    folder.mkdir()
    assert beside_openai_agents.run("mesh", "new", "agent", "x", cwd=folder).returncode == 0
    tested = beside_openai_agents.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
