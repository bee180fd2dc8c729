"""The temporary folder: nothing in it leads out, nothing in it is anybody's settings, and it goes away."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agents.review.objects import fetch
from mesh.agents.review.workspace import plain, workspace
from mesh.protocols.errors import BadPayload
from tests.review.repositories import change_set, changed

HOSTILE = [
    "../out.py",
    "/etc/cron.d/x.py",
    "a/../../x.py",
    ".hidden/x.py",
    "-rf.py",
    "pyproject.toml",
    "a/conftest.py",
    "a//b.py",
    "x\n.py",
    "é.py",
    "a" * 400 + ".py",
    "odd_0.py",
    "@args.py",
    ".bandit",
    "a/./b.py",
    "",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_gets_a_stand_in(path: str) -> None:
    assert not plain(path)
    changes, blobs = change_set(changed(path, None, "x = 1\n"))
    with workspace(changes, blobs) as place:
        (name,) = place.files("after")
        assert (place.root / name).resolve().is_relative_to(place.root)
        assert (place.root / name).read_text() == "x = 1\n"
        file = place.change(f"{place.root}/{name}")
        assert file is not None
        assert file.path == path


@given(st.lists(st.text(alphabet="aA./-_ \n", min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_every_file_can_be_told_from_every_other(paths: list[str]) -> None:
    changes, blobs = change_set(*(changed(path, None, f"x = {number}\n") for number, path in enumerate(paths)))
    with workspace(changes, blobs) as place:
        names = place.files("after")
        assert len(set(names)) == len(paths)
        for name, path in zip(names, paths, strict=True):
            file = place.change(name)
            assert file is not None
            assert file.path == path
            assert (place.root / name).read_bytes() == blobs[file.after]


def test_the_folder_is_gone_afterwards_also_after_an_error() -> None:
    roots: list[Path] = []

    def fail() -> None:
        with workspace(*change_set(changed("a.py", None, "x = 1\n"))) as place:
            roots.append(place.root)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not roots[0].exists()


def test_what_a_killed_agent_has_left_goes_with_the_next_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides of somebody's files: nobody else would remove them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("mesh-review-old", "mesh-review-new", "other"):
        (tmp_path / name / "after").mkdir(parents=True)
    (tmp_path / "mesh-review-link").symlink_to(tmp_path / "other")
    for name in ("mesh-review-old", "other"):
        os.utime(tmp_path / name, (1.0, 1.0))
    with workspace(*change_set(changed("a.py", None, "x = 1\n"))):
        pass
    assert {each.name for each in tmp_path.iterdir()} == {"mesh-review-new", "mesh-review-link", "other"}
    assert (tmp_path / "other" / "after").is_dir()


async def test_an_object_that_is_no_bundle_is_the_callers_mistake() -> None:
    """It counts against nobody's breaker: else whoever may call a reviewer could take it from all others."""

    class Anything:
        async def get(self, digest: str) -> bytes:
            return b"\xc1 no bundle"

    with pytest.raises(BadPayload, match="no bundle"):
        await fetch(Anything(), ["sha256:x"], ["sha256:y"])  # type: ignore[arg-type]


def test_a_file_and_a_folder_of_one_name_are_kept_apart() -> None:
    changes, blobs = change_set(changed("a", None, "text\n"), changed("a/b.py", None, "x = 1\n"))
    with workspace(changes, blobs) as place:
        assert len(place.files("after")) == 2


def test_a_file_in_which_much_is_found_is_split_once() -> None:
    """Ten thousand findings in a file of a megabyte: each has its excerpt."""
    changes, blobs = change_set(changed("a.py", None, "x = 1\n"))
    with workspace(changes, blobs) as place:
        (file,) = changes.files
        assert place.lines(file.after) is place.lines(file.after)
        assert place.lines(file.after) == ["x = 1", ""]
