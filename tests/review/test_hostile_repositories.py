"""A repository, a range or a name that wants to run, write or read something: nothing happens, or a typed error."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.agents.review.allowlist import allowed, check
from mesh.agents.review.changes import ReviewRequest
from mesh.agents.review.collect import collect
from mesh.agents.review.errors import BadRange, GitFailed, NotARepository, RepositoryNotAllowed
from mesh.agents.review.git import Git
from mesh.agents.review.repository import Repository
from tests.review.repositories import Repo, git


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "allowed" / "repo")
    made.commit({"a.py": "one = 1\n"})
    made.commit({"a.py": "one = 2\n"})
    return made


@pytest.mark.parametrize(
    "text",
    [
        "--output={mark}",
        "--output={mark}..HEAD",
        "HEAD..--output={mark}",
        "-p",
        "--",
        "HEAD^{{tree}} --output={mark}",
        "HEAD --output={mark}",
        "$(touch {mark})",
        "`touch {mark}`..HEAD",
        "HEAD;touch {mark}",
        "..",
        "...--all",
        "@{{-1}}",
        "nothing..HEAD",
        "HEAD..HEAD..HEAD",
        "HEAD:a.py",
        "HEAD^{{/" + "a" * 2000 + "}}",
        "HEAD\n--output={mark}",
        "HEAD\0",
    ],
)
async def test_a_hostile_range_writes_nothing(repo: Repo, tmp_path: Path, text: str) -> None:
    mark = tmp_path / "written"
    hostile = text.format(mark=mark)
    if hostile == "..":
        assert (await collect(repo.path, hostile)).changes.files == ()
    else:
        with pytest.raises(BadRange):
            await collect(repo.path, hostile)
    assert not mark.exists()


async def test_nothing_that_the_repository_configures_is_run(repo: Repo, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    script = tmp_path / "hook.sh"
    script.write_text(f"#!/bin/sh\necho $0 $@ >> {mark}\ncat 2>/dev/null\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "core.sshCommand",
        "gpg.program",
        "core.editor",
        "core.askPass",
    ):
        git(repo.path, "config", name, str(script))
    for name in ("command", "textconv"):
        git(repo.path, "config", f"diff.evil.{name}", str(script))
    for name in ("clean", "smudge", "process"):
        git(repo.path, "config", f"filter.evil.{name}", str(script))
    git(repo.path, "config", "log.showSignature", "true")
    git(repo.path, "config", "alias.diff-tree", f"!{script}")
    git(repo.path, "config", "core.hooksPath", str(tmp_path))
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (repo.path / ".git" / "hooks" / hook).parent.mkdir(exist_ok=True)
        (repo.path / ".git" / "hooks" / hook).write_text(script.read_text())
        (repo.path / ".git" / "hooks" / hook).chmod(0o755)
    (repo.path / ".gitattributes").write_text("*.py diff=evil filter=evil\n")
    (repo.path / ".git" / "info" / "attributes").parent.mkdir(exist_ok=True)
    (repo.path / ".git" / "info" / "attributes").write_text("*.py diff=evil filter=evil\n")
    (file,) = (await collect(repo.path)).changes.files
    assert file.changed(1)
    assert not mark.exists(), mark.read_text()


async def test_nothing_is_fetched_for_a_partial_clone(repo: Repo, tmp_path: Path) -> None:
    mark = tmp_path / "fetched"
    git(repo.path, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo.path}", "partial")
    partial = tmp_path / "partial"
    git(partial, "config", "remote.origin.url", f"ext::sh -c touch% {mark}")
    git(partial, "config", "protocol.ext.allow", "always")
    with pytest.raises(GitFailed, match="partial clone"):
        await collect(partial)
    assert not mark.exists()


async def test_replaced_objects_are_not_believed(repo: Repo) -> None:
    good = git(repo.path, "rev-parse", "HEAD:a.py")
    other = git(repo.path, "hash-object", "-w", "--stdin", stdin=b"harmless = 1\n")
    git(repo.path, "replace", good, other)
    collected = await collect(repo.path)
    assert b"one = 2\n" in collected.blobs.values()


async def test_the_callers_environment_has_no_say(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/false")
    assert (await collect(repo.path)).changes.repo == str(repo.path)


def test_a_request_with_control_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="control characters"):
        ReviewRequest(repo="/x\n--output=y")


@pytest.mark.parametrize("request_", [{}, {"diff": "x", "diff_digest": "y"}, {"diff": "x", "range": "HEAD"}])
def test_a_request_that_makes_no_sense_is_refused(request_: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"name a repository|not both|has no range"):
        ReviewRequest(**request_)


async def test_a_repository_below_an_allowed_folder_passes(repo: Repo, tmp_path: Path) -> None:
    await check(Git(repo.path), [tmp_path / "allowed"])


async def test_another_repository_is_refused_before_git_looks_at_it(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotAllowed, match=r"mesh\.toml"):
        await check(Git(tmp_path / "missing"), [tmp_path / "allowed"])


async def test_a_link_out_of_the_allowed_folder_is_refused(repo: Repo, tmp_path: Path) -> None:
    outside = Repo(tmp_path / "outside")
    (tmp_path / "allowed" / "link").symlink_to(outside.path)
    assert not allowed(tmp_path / "allowed" / "link", [tmp_path / "allowed"])
    with pytest.raises(RepositoryNotAllowed):
        await check(Git(tmp_path / "allowed" / "link"), [tmp_path / "allowed"])


async def test_a_link_to_the_allowed_folder_is_that_folder(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "allowed")
    assert allowed(repo.path, [tmp_path / "alias"])


@pytest.mark.parametrize("name", ["x" * 5000, "loop", "loop/x"])
async def test_a_path_that_cannot_be_one_is_a_typed_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    agent = Repository([tmp_path])
    assert not agent._has(name)
    with pytest.raises((NotARepository, RepositoryNotAllowed)):
        await check(Git(tmp_path / name), [tmp_path])


async def test_a_link_to_itself_among_the_objects_is_no_way_out(repo: Repo, tmp_path: Path) -> None:
    (repo.path / ".git" / "objects" / "loop").symlink_to("loop")
    await check(Git(repo.path), [tmp_path / "allowed"])


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may enter any folder")
async def test_a_folder_that_may_not_be_entered_is_a_typed_error(repo: Repo) -> None:
    (repo.path / "shut").mkdir(mode=0)
    with pytest.raises((NotARepository, GitFailed)):
        await collect(repo.path / "shut")


async def test_what_the_system_refuses_to_start_is_a_typed_error(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="cannot be run"):
        await Git(repo.path).ask("ls-tree", "HEAD", "x" * 200_000)


async def test_dots_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    assert not allowed(tmp_path / "allowed" / ".." / "outside", [tmp_path / "allowed"])


async def test_a_git_file_that_points_outside_is_refused(repo: Repo, tmp_path: Path) -> None:
    outside = Repo(tmp_path / "outside")
    outside.commit({"a.py": "secret = 1\n"})
    inside = tmp_path / "allowed" / "inside"
    inside.mkdir()
    (inside / ".git").write_text(f"gitdir: {outside.path / '.git'}\n")
    with pytest.raises(RepositoryNotAllowed):
        await check(Git(inside), [tmp_path / "allowed"])


async def test_a_repository_above_the_allowed_folder_is_refused(repo: Repo) -> None:
    (repo.path / "sub").mkdir()
    with pytest.raises(RepositoryNotAllowed):
        await check(Git(repo.path / "sub"), [repo.path / "sub"])


async def test_borrowed_objects_from_outside_are_refused(repo: Repo, tmp_path: Path) -> None:
    outside = Repo(tmp_path / "outside")
    (repo.path / ".git" / "objects" / "info").mkdir(exist_ok=True)
    (repo.path / ".git" / "objects" / "info" / "alternates").write_text(f"{outside.path / '.git' / 'objects'}\n")
    with pytest.raises(RepositoryNotAllowed):
        await check(Git(repo.path), [tmp_path / "allowed"])


def _quoted(objects: Path, outside: Path) -> None:
    (objects / "info" / "alternates").write_text(f'"{outside}"\n')


def _by_way_of_another(objects: Path, outside: Path) -> None:
    between = Repo(objects.parent.parent.with_name("between")).path / ".git" / "objects"
    (between / "info" / "alternates").write_text(f"{outside}\n")
    (objects / "info" / "alternates").write_text(f"{between}\n")


def _by_a_link(objects: Path, outside: Path) -> None:
    shutil.rmtree(objects)
    objects.symlink_to(outside)


def _by_links_inside(objects: Path, outside: Path) -> None:
    for each in outside.iterdir():
        if len(each.name) == 2:
            (objects / each.name).symlink_to(each)


@pytest.mark.parametrize("borrow", [_quoted, _by_way_of_another, _by_a_link, _by_links_inside])
async def test_objects_from_outside_are_refused_however_they_are_borrowed(
    tmp_path: Path, borrow: Callable[[Path, Path], None]
) -> None:
    outside = Repo(tmp_path / "outside")
    head = outside.commit({"a.py": "secret\n"})
    inside = Repo(tmp_path / "allowed" / "repo")
    borrow(inside.path / ".git" / "objects", outside.path / ".git" / "objects")
    assert git(inside.path, "cat-file", "-t", head) == "commit"
    with pytest.raises(RepositoryNotAllowed):
        await check(Git(inside.path), [tmp_path / "allowed"])


async def test_somebody_elses_repository_is_explained(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mesh.agents.review.git._environment", lambda: {"PATH": "/usr/bin:/bin", "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    )
    monkeypatch.setattr("mesh.agents.review.git._trusted_folders", _nobody)
    with pytest.raises(NotARepository, match=r"safe\.directory"):
        await collect(repo.path)


async def _nobody() -> tuple[str, ...]:
    return ()
