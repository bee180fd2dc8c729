"""A patch alone: both sides as far as its hunks allow, and a clear error for what is none."""

from __future__ import annotations

import ast
import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.agents.review.changes import Hunk, Limits
from mesh.agents.review.collect import collect
from mesh.agents.review.errors import BadPatch
from mesh.agents.review.fragments import parsing_fragment
from mesh.agents.review.patch import clean_path, from_patch
from mesh.agents.review.workspace import workspace
from tests.review.repositories import Repo, git

MODIFIED = """\
diff --git a/pkg/a.py b/pkg/a.py
index 1111111..2222222 100644
--- a/pkg/a.py
+++ b/pkg/a.py
@@ -10,7 +10,8 @@ def work(items):
         for item in items:
             if item:
                 total += 1
-                print(item)
+                print(eval(item))
+                total += 2
         else:
             total = 0
     return total
"""


def test_the_hunks_of_a_patch_are_those_of_the_repository(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.commit({"a.py": "".join(f"x{n} = {n}\n" for n in range(60)), "gone.py": "x = 1\n", "old.py": "y = 1\n" * 20})
    git(tmp_path, "mv", "old.py", "new.py")
    changed = "".join(f"x{n} = {n if n % 17 else -n}\n" for n in range(60) if n != 30)
    repo.commit({"a.py": changed, "gone.py": None, "added.py": "z = 1\n", "picture": b"\0\1"})
    patch = git(tmp_path, "diff", "-M", "HEAD~1..HEAD")
    whole = asyncio.run(collect(tmp_path)).changes
    alone = from_patch(patch + "\n").changes
    assert {f.path: (f.status, f.old_path, f.content, f.hunks) for f in alone.files} == {
        f.path: (f.status, f.old_path, f.content, f.hunks) for f in whole.files
    }


def test_an_added_file_is_whole_and_a_modified_one_is_partial() -> None:
    added = (
        "diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1,2 @@\n+x = 1\n+y = 2\n"
    )
    collected = from_patch(added + MODIFIED)
    new, modified = collected.changes.files
    assert (new.partial, collected.blobs[new.after]) == (False, b"x = 1\ny = 2\n")
    assert (modified.partial, modified.hunks) == (True, (Hunk(13, 1, 13, 2),))


def test_the_lines_of_a_piece_stay_at_their_numbers_and_it_parses() -> None:
    collected = from_patch(MODIFIED)
    (file,) = collected.changes.files
    text = collected.blobs[file.after].decode()
    assert "eval(item)" in text.split("\n")[12]
    ast.parse(text)


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_an_empty_patch_has_no_files(text: str) -> None:
    assert from_patch(text).changes.files == ()


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        '{"not": "a patch"}',
        "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n",
        "+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\nnonsense\n",
        "diff --cc f\nindex b,c..d\n--- a/f\n+++ b/f\n@@@ -1,1 -1,1 +1,1 @@@\n- b\n -c\n++d\n",
        "\x1b[1mdiff --git a/x b/x\x1b[m\n\x1b[1m--- a/x\x1b[m\n",
    ],
)
def test_what_is_no_patch_is_a_typed_error(text: str) -> None:
    with pytest.raises(BadPatch):
        from_patch(text)


@settings(max_examples=200)
@given(st.text(alphabet='+-@ ab/\n0123,diffgt.py"\\', max_size=200))
def test_any_text_is_a_patch_or_a_typed_error(text: str) -> None:
    with suppress(BadPatch):
        from_patch(text)


def test_a_patch_with_the_line_ends_of_another_system_is_read() -> None:
    collected = from_patch(MODIFIED.replace("\n", "\r\n"))
    assert collected.changes.files[0].hunks == (Hunk(13, 1, 13, 2),)


def test_a_file_that_several_commits_of_a_patch_change_is_looked_at_once_and_that_is_said() -> None:
    """As `git format-patch --stdout` makes them: one after the other, in one file."""
    later = MODIFIED.replace("+                total += 2", "+                exec(item)")
    first, second = from_patch(MODIFIED + later).changes.files
    assert (first.skipped, second.path) == ("", first.path)
    assert "same path" in second.skipped
    assert not second.after


def test_a_link_that_becomes_a_file_is_looked_at_as_the_file() -> None:
    """Two parts of one path: the link goes, the file comes."""
    link = "diff --git a/a.py b/a.py\ndeleted file mode 120000\n--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-elsewhere\n"
    file = "diff --git a/a.py b/a.py\nnew file mode 100644\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x = 1\n"
    for first in (link, link.replace("120000", "100644")):
        collected = from_patch(first + file)
        with workspace(collected.changes, collected.blobs) as place:
            assert [(place.root / name).read_text() for name in place.files("after")] == ["x = 1\n"]


def test_pieces_that_do_not_parse_end_the_patience_and_not_the_review(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of a thousand lines that breaks off in the middle of a statement takes a tenth of a second a try."""
    monkeypatch.setattr("mesh.agents.review.fragments.MOST_PARSED", 2_000)
    parsed: list[str] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda text: (parsed.append(text), parse(text))[1])
    broken = MODIFIED.replace("                print(eval(item))", '                """ and so on')
    collected = from_patch("".join(broken.replace("pkg/a.py", f"pkg/{n}.py") for n in range(100)))
    assert sum(map(len, parsed)) < 3_000
    assert any("too large to be taken to pieces" in note for note in collected.changes.notes)
    assert len(collected.changes.analysed) == 100


def test_a_hunk_far_down_does_not_fill_the_memory() -> None:
    text = "--- a/x.py\n+++ b/x.py\n@@ -900000000,1 +900000000,1 @@\n-a\n+b\n"
    (file,) = from_patch(text).changes.files
    assert "too long" in file.skipped


def test_a_small_patch_that_makes_large_files_is_looked_at_up_to_the_limit() -> None:
    """A hunk may stand anywhere, and the blank lines up to it are made."""
    one = "--- a/f{0}.py\n+++ b/f{0}.py\n@@ -90000,1 +90000,1 @@\n-x = {0}\n+y = {0}\n"
    collected = from_patch("".join(one.format(number) for number in range(20)), limits=Limits(total_bytes=1_000_000))
    assert sum(map(len, collected.blobs.values())) < 1_200_000
    assert [bool(each.skipped) for each in collected.changes.files] == [False] * 6 + [True] * 14


def test_a_patch_above_the_limit_is_refused() -> None:
    with pytest.raises(BadPatch, match="larger than 10"):
        from_patch(MODIFIED, limits=Limits(patch_bytes=10))


def test_a_patch_that_is_not_utf8_keeps_its_bytes() -> None:
    text = b"--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+name = '\xe9'\n"
    collected = from_patch(text)
    assert b"\xe9" in collected.blobs[collected.changes.files[0].after]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/x.py", "x.py"),
        ("/dev/null", ""),
        ('"b/sp\\303\\274r \\"q\\"\\t.py"', 'spür "q"\t.py'),
        ('"b/\\377.py"', "\\xff.py"),
        ("b/../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_the_path_in_a_header_is_read_as_git_writes_it(name: str, path: str) -> None:
    assert clean_path(name) == path


@given(
    st.lists(
        st.sampled_from(["if x:", "    y = 1", "else:", "    return (", "z)", "", "def f():", "        a"]), max_size=9
    )
)
def test_a_piece_keeps_its_number_of_lines_and_loses_no_text(lines: list[str]) -> None:
    def parses(text: str) -> bool:
        try:
            ast.parse(text)
        except SyntaxError:
            return False
        return True

    made = parsing_fragment(lines, parses)
    assert len(made) == len(lines)
    assert parses("\n".join(made) + "\n")
    assert all(old.strip() in new for old, new in zip(lines, made, strict=True))
