"""Reading what `git diff-tree` prints: the raw list of changed files, and the hunks of a patch without context.

Pure. Paths come NUL-ended from the raw list and never from patch headers, and hunk bodies are skipped by their counted
length, so that nothing inside a file can be taken for a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.agents.review.changes import Content, Hunk, Status

STATUSES: dict[str, Status] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "added",
    "T": "retyped",
}
LINKS: dict[str, Content] = {"120000": "symlink", "160000": "submodule"}

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class RawChange:
    """One line of the raw list. The mode 000000 means that there is no such side; paths keep odd bytes as surrogates."""

    old_mode: str
    new_mode: str
    old_id: str
    new_id: str
    status: Status
    old_path: str
    path: str

    @property
    def content(self) -> Content:
        """What kind of thing the newest side is; whether text is binary only its bytes tell."""
        return LINKS.get(self.old_mode if self.status == "deleted" else self.new_mode, "text")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the sides that are ordinary files."""
        sides = ((self.old_mode, self.old_id), (self.new_mode, self.new_id))
        return tuple(blob for mode, blob in sides if mode.startswith("100"))

    @property
    def sections(self) -> int:
        """How many parts of a patch it makes: a change of type is a deletion and an addition."""
        return 2 if self.status == "retyped" else 1


def printable(path: str) -> str:
    """The path as text that any encoder takes; bytes that are not UTF-8 are written as escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def raw_changes(output: bytes) -> list[RawChange]:
    """What `diff-tree --raw -z` lists, with full ids."""
    fields = iter(output.split(b"\0"))
    return list(_changes(fields))


def _changes(fields: Iterator[bytes]) -> Iterator[RawChange]:
    for field in fields:
        if not field.startswith(b":"):
            continue
        old_mode, new_mode, old_id, new_id, letter = field[1:].decode().split(" ")
        old_path = next(fields).decode("utf-8", "surrogateescape")
        path = next(fields).decode("utf-8", "surrogateescape") if letter[0] in "RC" else old_path
        status = STATUSES.get(letter[0], "modified")
        kept = old_path if status == "renamed" else ""
        yield RawChange(old_mode, new_mode, old_id, new_id, status, kept, path)


def sections(patch: bytes) -> list[tuple[Hunk, ...]]:
    """The hunks of each `diff --git` section of a patch made with `-U0 --text`, in order."""
    found: list[list[Hunk]] = []
    lines = iter(patch.split(b"\n"))
    for line in lines:
        if line.startswith(b"diff --git "):
            found.append([])
        elif match := _HUNK.match(line):
            hunk = Hunk(*(int(part) if part else 1 for part in match.groups()))
            found[-1].append(hunk)
            for _ in range(hunk.old_count + hunk.new_count):
                if next(lines).startswith(b"\\"):
                    next(lines)
    return [tuple(hunks) for hunks in found]


def merged(parts: list[tuple[Hunk, ...]]) -> tuple[Hunk, ...]:
    """The hunks of one file's sections: a deletion and an addition are one replacement."""
    every = [hunk for part in parts for hunk in part]
    if len(parts) < 2:
        return tuple(every)
    old, new = sum(hunk.old_count for hunk in every), sum(hunk.new_count for hunk in every)
    return (Hunk(min(1, old), old, min(1, new), new),)
