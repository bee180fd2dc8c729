"""The sample that ships with the team: a small shop and one commit with a planted defect of every kind.

For `mesh demo` and the tests. The files are data under `samples/`, never imported; the secrets in them are made up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec

from mesh.agents.review.errors import GitFailed
from mesh.agents.review.findings import Category, Finding, Review
from mesh.agents.review.processes import bare_environment

FOLDER = Path(__file__).resolve().parent / "samples" / "shop"

TIMEOUT = 20.0
_WHEN = "2025-03-03T09:00:00+00:00"
"""Author, date and content are fixed, so the sample's commit ids are the same everywhere."""


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """One planted defect. `needs` names a tool that may be missing from an installation."""

    path: str
    line: int
    category: Category
    text: str
    topic: str
    needs: str = ""

    def found_by(self, finding: Finding) -> bool:
        """Whether a finding is about this defect."""
        return (
            finding.path == self.path
            and finding.category == self.category
            and finding.line <= self.line <= finding.last_line
        )


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How good a review of the sample is. `missed` are defects nobody found, `wrong` findings about no defect."""

    precision: float
    recall: float
    missed: tuple[Defect, ...]
    wrong: tuple[Finding, ...]


def planted() -> tuple[Defect, ...]:
    """Every planted defect."""
    table = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
    return tuple(msgspec.convert(each, Defect) for each in table["defect"])


def score(review: Review, defects: tuple[Defect, ...]) -> Score:
    """Compare a review with what was planted."""
    missed = tuple(defect for defect in defects if not any(map(defect.found_by, review.findings)))
    wrong = tuple(finding for finding in review.findings if not any(defect.found_by(finding) for defect in defects))
    return Score(
        precision=1 - len(wrong) / len(review.findings) if review.findings else 1.0,
        recall=1 - len(missed) / len(defects) if defects else 1.0,
        missed=missed,
        wrong=wrong,
    )


def make_sample(path: Path) -> Path:
    """Make a git repository of the sample at `path` (new or empty), its last commit the one to review.

    Again at the same place: FileExistsError, nothing is changed.

    Raises:
        GitFailed: there is no git, or it is too old.
    """
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise FileExistsError(f"{path} is not empty")
    _git(path, "init", "--quiet", "--initial-branch=main", "--template=")
    for tree, message in (("before", "Orders, prices and stock"), ("after", "Accounts, labels and spring discounts")):
        _lay(path, FOLDER / tree)
        _git(path, "read-tree", "--empty")
        _git(path, "add", "--all")
        _git(path, "commit", "--quiet", "--message", message)
    return path


def _lay(path: Path, tree: Path) -> None:
    """Replace everything but `.git` with the tree. Files may keep size and time, so git's index must forget the old ones."""
    for old in path.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(tree, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def _git(path: Path, *arguments: str) -> None:
    who = {"NAME": "Sample", "EMAIL": "sample@example.invalid", "DATE": _WHEN}
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    env = bare_environment(path, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", **names)
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "commit.gpgSign=false")
    try:
        subprocess.run(
            ["git", *settings, *arguments], cwd=path, env=env, check=True, timeout=TIMEOUT,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise GitFailed("git is not installed: the sample is a repository; install it") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        raise GitFailed(
            f"git {arguments[0]} could not make the sample: {said.decode(errors='replace').strip()}"
        ) from None
