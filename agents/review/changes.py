"""What is reviewed: a `ChangeSet`, its files with both sides by content digest, and which lines changed.

Made by `collect` (from a repository) or `patch` (from a diff alone). The bytes of the sides are not in it: it names them by
digest, and the objects that hold them (`objects`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Status = Literal["added", "modified", "deleted", "renamed", "retyped"]
Content = Literal["text", "binary", "symlink", "submodule"]

PYTHON_SUFFIXES = (".py", ".pyi", ".pyw")

_AGAIN = "another change has the same path, and only the first is looked at: make one diff of several commits"

Blobs = Mapping[str, bytes]
"""Bytes by digest (`sha256:<hex>`)."""


def digest_of(data: bytes) -> str:
    """The name under which an object store keeps `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class ReviewRequest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What to review: a range of a repository, or a patch.

    `repo` is a folder on a host that is labelled as having it; `range` is `REV..REV`, `REV...REV` or one `REV` (that
    commit against its first parent; empty: the last commit). `diff` is a patch as text and `diff_digest` one in the
    object store; with either, no repository is read.
    """

    repo: str = ""
    range: str = ""
    diff: str = ""
    diff_digest: str = ""

    def __post_init__(self) -> None:
        for name in ("repo", "range"):
            if any(ord(char) < 32 for char in getattr(self, name)):
                raise ValueError(f"{name} must not contain control characters")
        if self.diff and self.diff_digest:
            raise ValueError("give the patch as diff or as diff_digest, not both")
        if self.of_patch and self.range:
            raise ValueError("a patch has no range: give repo and range, or a patch")
        if not self.of_patch and not self.repo:
            raise ValueError("name a repository (repo) or give a patch (diff)")

    @property
    def of_patch(self) -> bool:
        """Whether only a patch is reviewed, without its repository."""
        return bool(self.diff or self.diff_digest)


class Hunk(msgspec.Struct, frozen=True, array_like=True):
    """One place where both sides differ, without context: `count` lines from `start` (1-based) on each side.

    With a count of 0 nothing stands there on that side, and `start` is the line after which it would.
    """

    old_start: int
    old_count: int
    new_start: int
    new_count: int


class FileChange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One changed file.

    `before` and `after` are digests, empty where that side has no text to analyse. `skipped` says why a file is not
    analysed. `partial` means that the sides were put together from a patch: lines outside its hunks are blank.
    """

    path: str
    status: Status
    old_path: str = ""
    content: Content = "text"
    before: str = ""
    after: str = ""
    hunks: tuple[Hunk, ...] = ()
    skipped: str = ""
    partial: bool = False

    @property
    def python(self) -> bool:
        """Whether the after side is Python source that can be analysed."""
        return bool(self.after) and self.path.endswith(PYTHON_SUFFIXES)

    @property
    def added_lines(self) -> int:
        """How many lines of the after side are new or modified."""
        return sum(hunk.new_count for hunk in self.hunks)

    @property
    def removed_lines(self) -> int:
        """How many lines of the before side are gone or modified."""
        return sum(hunk.old_count for hunk in self.hunks)

    def changed(self, line: int, end_line: int | None = None) -> bool:
        """Whether any line from `line` to `end_line` (after side, 1-based, inclusive) was added or modified."""
        last = max(line, end_line or line)
        return any(
            hunk.new_count and line < hunk.new_start + hunk.new_count and last >= hunk.new_start for hunk in self.hunks
        )

    def line_before(self, line: int) -> int | None:
        """Where an unchanged line of the after side stood before; None for a changed one."""
        shift = 0
        for hunk in self.hunks:
            first = hunk.new_start if hunk.new_count else hunk.new_start + 1
            if line < first:
                break
            if line < first + hunk.new_count:
                return None
            shift += hunk.old_count - hunk.new_count
        return line + shift


def told_apart(files: Iterable[FileChange]) -> tuple[FileChange, ...]:
    """The files, of which no two of one path are analysed: a finding names its file by that alone."""
    known: set[str] = set()
    found = []
    for file in files:
        again = bool(file.after) and file.path in known
        if file.after:
            known.add(file.path)
        found.append(msgspec.structs.replace(file, before="", after="", hunks=(), skipped=_AGAIN) if again else file)
    return tuple(found)


class SettingsFile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A declarative settings file of the after side that an analyser may honour (`pyproject.toml`, `ruff.toml`)."""

    path: str
    digest: str


class ChangeSet(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything a specialist may see.

    `base` and `head` are commit or tree ids, empty for a patch alone. `first_party` names the repository's own top-level
    packages, by which imports of them are told from installed ones. `bundles` are the objects that hold all the bytes;
    empty while they are only in memory.
    """

    repo: str = ""
    range: str = ""
    base: str = ""
    head: str = ""
    files: tuple[FileChange, ...] = ()
    settings: tuple[SettingsFile, ...] = ()
    first_party: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """Every blob that it refers to, each once."""
        sides = (digest for file in self.files for digest in (file.before, file.after))
        every = (*sides, *(each.digest for each in self.settings))
        return tuple(dict.fromkeys(digest for digest in every if digest))

    @property
    def analysed(self) -> tuple[FileChange, ...]:
        """The files whose after side is text that analysers look at."""
        return tuple(file for file in self.files if file.after and not file.skipped)

    def file(self, path: str) -> FileChange | None:
        """The change of the file that is now at `path`, or None; of several (a link that became a file) the one analysed."""
        found = [file for file in self.files if file.path == path]
        return next((file for file in found if file.after), found[0] if found else None)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a diff is looked at. What goes beyond is listed with the reason, never dropped silently. Sizes in bytes."""

    files: int = 400
    file_bytes: int = 1_000_000
    total_bytes: int = 24_000_000
    listed: int = 5_000
    patch_bytes: int = 20_000_000
