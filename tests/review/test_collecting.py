"""From a repository to a change set: every kind of change, and every bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.agents.review.changes import ChangeSet, FileChange, Hunk, Limits
from mesh.agents.review.collect import Collected, collect
from mesh.agents.review.errors import BadRange, NotARepository
from tests.review.repositories import Repo, git


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit({"a.py": "one = 1\ntwo = 2\nthree = 3\n", "b.txt": "text\n"})
    return made


def only(collected: Collected) -> FileChange:
    (file,) = collected.changes.files
    return file


async def test_the_last_commit_is_reviewed_unless_a_range_is_named(repo: Repo) -> None:
    repo.commit({"a.py": "one = 1\ntwo = 22\nthree = 3\nfour = 4\n"})
    collected = await collect(repo.path)
    file = only(collected)
    assert (file.path, file.status) == ("a.py", "modified")
    assert file.hunks == (Hunk(2, 1, 2, 1), Hunk(3, 0, 4, 1))
    assert collected.blobs[file.after].endswith(b"four = 4\n")
    assert collected.blobs[file.before].startswith(b"one = 1\ntwo = 2\n")


async def test_a_root_commit_is_reviewed_against_the_empty_tree(repo: Repo) -> None:
    collected = await collect(repo.path)
    assert {file.path: file.status for file in collected.changes.files} == {"a.py": "added", "b.txt": "added"}


@pytest.mark.parametrize("text", ["HEAD~2..HEAD", "HEAD~2..", "HEAD~2...HEAD"])
async def test_a_range_spans_commits(repo: Repo, text: str) -> None:
    repo.commit({"a.py": "one = 1\n"})
    repo.commit({"b.txt": "other\n"})
    assert [file.path for file in (await collect(repo.path, text)).changes.files] == ["a.py", "b.txt"]


async def test_one_revision_is_reviewed_against_its_parent(repo: Repo) -> None:
    middle = repo.commit({"a.py": "one = 1\n"})
    repo.commit({"b.txt": "other\n"})
    assert only(await collect(repo.path, middle)).path == "a.py"


async def test_three_dots_start_at_the_merge_base(repo: Repo) -> None:
    git(repo.path, "checkout", "-q", "-b", "side")
    repo.commit({"side.py": "x = 1\n"})
    git(repo.path, "checkout", "-q", "main")
    repo.commit({"main.py": "y = 1\n"})
    assert only(await collect(repo.path, "main...side")).path == "side.py"


async def test_any_folder_inside_names_the_repository(repo: Repo) -> None:
    repo.commit({"deep/down/c.py": "c = 1\n"})
    collected = await collect(repo.path / "deep" / "down")
    assert only(collected).path == "deep/down/c.py"
    assert collected.changes.repo == str(repo.path)


async def test_a_rename_keeps_both_sides(repo: Repo) -> None:
    git(repo.path, "mv", "a.py", "renamed.py")
    repo.commit({"renamed.py": "one = 1\ntwo = 2\nthree = 33\n"})
    file = only(await collect(repo.path))
    assert (file.status, file.path, file.old_path) == ("renamed", "renamed.py", "a.py")
    assert file.hunks == (Hunk(3, 1, 3, 1),)
    assert file.before
    assert file.after


async def test_a_deletion_has_no_after_side(repo: Repo) -> None:
    repo.commit({"a.py": None})
    collected = await collect(repo.path)
    file = only(collected)
    assert (file.status, file.after) == ("deleted", "")
    assert collected.changes.analysed == ()


async def test_binary_files_are_listed_and_not_read(repo: Repo) -> None:
    repo.commit({"picture.png": b"\x89PNG\0\0", "b.txt": "still text\n"})
    binary, text = sorted((await collect(repo.path)).changes.files, key=lambda file: file.content)
    assert (binary.content, binary.skipped, binary.after) == ("binary", "binary", "")
    assert text.hunks == (Hunk(1, 1, 1, 1),)


async def test_attributes_cannot_hide_code(repo: Repo) -> None:
    repo.commit({".gitattributes": "*.py -diff binary -text\n"})
    repo.commit({"a.py": "one = 1\nimport os\n"})
    assert only(await collect(repo.path)).hunks == (Hunk(2, 2, 2, 1),)


async def test_a_link_is_not_followed(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret = 1\n")
    (repo.path / "link.py").symlink_to(tmp_path / "outside.py")
    collected = await collect_committed(repo)
    assert (only(collected).content, only(collected).skipped) == ("symlink", "symlink")
    assert collected.blobs == {}


async def test_a_file_that_becomes_a_link_is_skipped(repo: Repo) -> None:
    (repo.path / "a.py").unlink()
    (repo.path / "a.py").symlink_to("/etc/passwd")
    assert only(await collect_committed(repo)).skipped == "symlink"


async def test_a_link_that_becomes_a_file_is_all_new(repo: Repo) -> None:
    (repo.path / "c.py").symlink_to("/etc/passwd")
    await collect_committed(repo)
    (repo.path / "c.py").unlink()
    repo.commit({"c.py": "c = 1\n", "a.py": "one = 11\n"})
    changes = (await collect(repo.path)).changes
    assert _file(changes, "c.py").status == "retyped"
    assert _file(changes, "c.py").changed(1)
    assert _file(changes, "a.py").hunks == (Hunk(1, 3, 1, 1),)


async def test_a_submodule_is_listed(repo: Repo, tmp_path: Path) -> None:
    inner = Repo(tmp_path / "inner")
    commit = inner.commit({"x.py": "x = 1\n"})
    git(repo.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},vendored")
    git(repo.path, "commit", "-q", "-m", "vendor")
    assert only(await collect(repo.path)).content == "submodule"


async def test_a_change_of_mode_alone_has_no_hunks(repo: Repo) -> None:
    (repo.path / "a.py").chmod(0o755)
    file = only(await collect_committed(repo))
    assert (file.status, file.hunks) == ("modified", ())


async def test_an_empty_diff_has_no_files(repo: Repo) -> None:
    repo.commit({})
    assert (await collect(repo.path)).changes.files == ()


async def test_a_merge_is_reviewed_against_its_first_parent(repo: Repo) -> None:
    git(repo.path, "checkout", "-q", "-b", "side")
    repo.commit({"side.py": "x = 1\n"})
    git(repo.path, "checkout", "-q", "main")
    repo.commit({"main.py": "y = 1\n"})
    git(repo.path, "merge", "-q", "--no-ff", "-m", "merge", "side")
    assert only(await collect(repo.path)).path == "side.py"


@pytest.mark.parametrize("name", [b"odd \xff name.py", b'q"uo\te\nline.py', "ünïcode.py".encode(), b"-option.py"])
async def test_any_file_name_comes_through_as_printable_text(repo: Repo, name: bytes) -> None:
    (Path(str(repo.path)) / name.decode("utf-8", "surrogateescape")).write_text("x = 1\n")
    repo_commit_all(repo)
    collected = await collect(repo.path)
    file = only(collected)
    assert collected.blobs[file.after] == b"x = 1\n"
    assert file.path.encode() == name or "\\xff" in file.path


async def test_names_that_read_alike_hide_no_file(repo: Repo) -> None:
    repo.commit({"odd/\udcff.py": "x = 1\n", r"odd/\xff.py": "x = 2\n"})
    one, other = [file for file in (await collect(repo.path)).changes.files if file.path.startswith("odd/")]
    assert one.path == other.path
    assert (bool(one.skipped), bool(other.skipped)) == (False, True)


async def test_bytes_that_are_not_utf8_are_kept(repo: Repo) -> None:
    repo.commit({"latin.py": "# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1")})
    collected = await collect(repo.path)
    assert b"\xe9" in collected.blobs[only(collected).after]


async def test_lines_that_look_like_headers_do_not_confuse_the_hunks(repo: Repo) -> None:
    nasty = "--- a/x\n+++ b/x\n@@ -1 +1 @@\ndiff --git a/y b/y\n"
    repo.commit({"a.py": f"one = 1\n{nasty}two = 2\nthree = 3\n", "z.py": "z = 1\n"})
    changes = (await collect(repo.path)).changes
    assert _file(changes, "a.py").hunks == (Hunk(1, 0, 2, 4),)
    assert _file(changes, "z.py").hunks == (Hunk(0, 0, 1, 1),)


async def test_a_missing_newline_at_the_end_does_not_confuse_the_hunks(repo: Repo) -> None:
    repo.commit({"a.py": "one = 1\ntwo = 2\nthree = 33", "b.txt": "no newline"})
    repo.commit({"a.py": "one = 1\ntwo = 2\nthree = 34", "b.txt": "none either"})
    changes = (await collect(repo.path)).changes
    assert _file(changes, "a.py").hunks == (Hunk(3, 1, 3, 1),)
    assert _file(changes, "b.txt").hunks == (Hunk(1, 1, 1, 1),)


async def test_a_large_file_is_named_and_skipped_and_the_rest_is_read(repo: Repo) -> None:
    repo.commit({"big.py": "x = 1\n" * 1000, "a.py": "one = 2\n"})
    changes = (await collect(repo.path, limits=Limits(file_bytes=1000))).changes
    assert "too large: 6000 bytes" in _file(changes, "big.py").skipped
    assert _file(changes, "a.py").hunks


async def test_files_beyond_the_limit_are_named_and_skipped(repo: Repo) -> None:
    repo.commit({f"f{number}.py": f"x = {number}\n" for number in range(6)})
    files = (await collect(repo.path, limits=Limits(files=4, listed=5))).changes
    assert len(files.files) == 5
    assert [bool(file.skipped) for file in files.files] == [False, False, False, False, True]
    assert files.notes == ("the diff has 6 files; only the first 5 are listed",)


async def test_the_settings_and_packages_around_a_change_come_along(repo: Repo) -> None:
    repo.commit(
        {
            "pyproject.toml": "[tool.ruff]\n",
            "pkg/ruff.toml": "",
            "pkg/deep/x.py": "x = 1\n",
            "src/other/y.py": "y = 1\n",
        }
    )
    repo.commit({"pkg/deep/x.py": "x = 2\n"})
    changes = (await collect(repo.path)).changes
    assert {each.path for each in changes.settings} == {"pyproject.toml", "pkg/ruff.toml"}
    assert {"pkg", "a", "src/other"} <= set(changes.first_party)


async def test_however_deep_and_many_the_folders_are_their_settings_are_looked_for(repo: Repo) -> None:
    """All their names together are more than one command takes."""
    deep = {f"{top}/" + "/".join(["folder" * 5] * 60) + "/x.py": "x = 1\n" for top in range(30)}
    repo.commit({**deep, "0/ruff.toml": "", "29/ruff.toml": ""})
    assert {each.path for each in (await collect(repo.path)).changes.settings} == {"0/ruff.toml", "29/ruff.toml"}


async def test_settings_beyond_the_limit_are_named_and_not_read(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.agents.review.collect.SETTINGS_IN_ALL", 100)
    repo.commit({"ruff.toml": "#" * 60, "pkg/ruff.toml": "#" * 60 + "\n", "pkg/x.py": "x = 1\n"})
    changes = (await collect(repo.path)).changes
    assert len(changes.settings) == 1
    assert any("ruff.toml was not read" in note for note in changes.notes)


async def test_a_settings_file_that_is_a_link_is_not_read(repo: Repo) -> None:
    (repo.path / "ruff.toml").symlink_to("/etc/passwd")
    repo.commit({"a.py": "one = 2\n"})
    assert (await collect(repo.path)).changes.settings == ()


async def test_a_folder_in_no_repository_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="no git repository"):
        await collect(tmp_path)


async def test_a_missing_folder_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="not a folder"):
        await collect(tmp_path / "gone")


async def test_a_repository_without_commits_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(BadRange, match="no commit yet"):
        await collect(Repo(tmp_path / "empty").path)


async def test_a_shallow_clone_is_not_taken_for_a_root_commit(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "one = 2\n"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo.path}", "shallow")
    with pytest.raises(BadRange, match="deepen"):
        await collect(tmp_path / "shallow")


async def test_a_bare_repository_can_be_reviewed(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"a.py": "one = 2\n"})
    git(tmp_path, "clone", "-q", "--bare", str(repo.path), "bare.git")
    assert only(await collect(tmp_path / "bare.git")).path == "a.py"


async def collect_committed(repo: Repo) -> Collected:
    repo_commit_all(repo)
    return await collect(repo.path)


def repo_commit_all(repo: Repo) -> None:
    git(repo.path, "add", "--all")
    git(repo.path, "commit", "-q", "-m", "change")


def _file(changes: ChangeSet, path: str) -> FileChange:
    file = changes.file(path)
    assert file is not None
    return file
