"""Where analysers work: both sides of the changed files in a temporary folder, under paths that cannot leave it.

    <root>/home        an empty home folder for every tool
    <root>/after/…     the after sides, as text files
    <root>/before/…    the before sides, under the path that the file has now

A path of the reviewed repository is used as it is where it is plain; any other gets a stand-in with the same suffix.
Nothing is executable, nothing is a link, and no settings file is written except the one that the style analyser makes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from mesh.agents.review.changes import Blobs, ChangeSet, FileChange
from mesh.clock import SystemClock

Side = Literal["after", "before"]

PREFIX = "mesh-review-"
LEFT = 3600.0
"""Seconds after which a folder has been left behind: a review is done, or given up, in a few minutes."""
_PLAIN_PART = re.compile(r"[A-Za-z0-9_+=@,()\[\] -][A-Za-z0-9_.+=@,()\[\] -]{0,120}")
_LONGEST_PATH = 300
_SETTINGS = {"pyproject.toml", "ruff.toml", "setup.cfg", "tox.ini", "mypy.ini", "radon.cfg", ".bandit", "conftest.py"}


@dataclass
class Workspace:
    """One review's temporary folder. `paths` gives back the file behind a path that a tool names."""

    root: Path
    changes: ChangeSet
    blobs: Blobs
    names: dict[str, str] = field(default_factory=dict)
    _lines: dict[str, list[str]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """An empty folder: the tools' home and temporary folder."""
        return self.root / "home"

    def files(self, side: Side, suits: Callable[[FileChange], bool] = lambda _: True) -> list[str]:
        """The files of one side, as paths below the root, in order; those that `suits` says."""
        names = [(file, self._name(file)) for file in self.changes.analysed if suits(file)]
        return [f"{side}/{name}" for file, name in names if side == "after" or file.before]

    def change(self, path: str) -> FileChange | None:
        """The change behind a path that a tool printed (absolute or below the root), whichever side; None if unknown."""
        relative = path.removeprefix(f"{self.root}/").removeprefix("./")
        _, _, name = relative.partition("/")
        original = self.names.get(name)
        return self.changes.file(original) if original is not None else None

    def side(self, path: str) -> Side:
        """Which side a path that a tool printed belongs to."""
        return "before" if path.removeprefix(f"{self.root}/").removeprefix("./").startswith("before/") else "after"

    def text(self, digest: str) -> str:
        """A side as text; bytes that are not UTF-8 are replaced."""
        return self.blobs[digest].decode("utf-8", "replace") if digest in self.blobs else ""

    def lines(self, digest: str) -> list[str]:
        """A side's lines, counted as every tool counts them: by line feed. A file in which much is found is split once."""
        if digest not in self._lines:
            self._lines[digest] = self.text(digest).split("\n")
        return self._lines[digest]

    def _name(self, file: FileChange) -> str:
        return next(name for name, path in self.names.items() if path == file.path)


@contextmanager
def workspace(changes: ChangeSet, blobs: Blobs) -> Iterator[Workspace]:
    """Lay the change set out; everything is gone when the block ends."""
    _sweep(Path(tempfile.gettempdir()))
    root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    try:
        made = Workspace(root, changes, blobs, _names(changes))
        made.home.mkdir()
        for file, name in ((changes.file(path), name) for name, path in made.names.items()):
            if file is not None:
                _write(made, file, name)
        yield made
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what an agent of ours left that was killed in the middle of a review."""
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = left.lstat()
            if (
                stat.S_ISDIR(found.st_mode)
                and found.st_uid == os.getuid()
                and SystemClock().now() - found.st_mtime > LEFT
            ):
                shutil.rmtree(left, ignore_errors=True)


def _names(changes: ChangeSet) -> dict[str, str]:
    """The path of each analysed file by its name in the workspace; names that differ only in case are kept apart."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for number, file in enumerate(changes.analysed):
        name = file.path if plain(file.path) else f"odd_{number}{_suffix(file.path)}"
        if _clashes(name.lower(), taken):
            name = f"odd_{number}{_suffix(file.path)}"
        taken.add(name.lower())
        names[name] = file.path
    return names


def _clashes(name: str, taken: set[str]) -> bool:
    """Whether the name, or a folder of it, is already a file, or the name already a folder."""
    above = {str(parent) for parent in PurePosixPath(name).parents}
    return name in taken or bool(above & taken) or any(other.startswith(f"{name}/") for other in taken)


def plain(path: str) -> bool:
    """Whether a path may be used as it is: relative, no `..`, no hidden or odd part, not a tool's settings; nor what a tool
    takes for an option, or for a file of arguments (`@`), when it stands among its arguments."""
    parts = path.split("/")
    return (
        len(path) <= _LONGEST_PATH
        and all(_PLAIN_PART.fullmatch(part) for part in parts)
        and not parts[0].startswith(("-", "@", "odd_"))
        and parts[-1].lower() not in _SETTINGS
    )


def plain_folder(path: str) -> bool:
    """Whether a folder of the repository may be made under its own name; `.` is the top. No stand-in is in its way."""
    return path == "." or (
        len(path) <= _LONGEST_PATH
        and all(_PLAIN_PART.fullmatch(part) for part in path.split("/"))
        and not path.startswith("odd_")
    )


def _suffix(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", suffix) else ".txt"


def _write(made: Workspace, file: FileChange, name: str) -> None:
    for side, digest in (("after", file.after), ("before", file.before)):
        if digest:
            target = made.root / side / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(made.blobs[digest])
