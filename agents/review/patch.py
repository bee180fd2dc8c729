"""A `ChangeSet` from a patch alone: both sides of each file are put together as far as its hunks allow.

A file that the patch adds is whole. Of any other only the hunks are known: they stand at their line numbers, the lines
between are blank, and each hunk of Python is moved and trimmed until it parses by itself (`fragments`). Such a file is
marked `partial`, and analysers that need whole files leave it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk as PatchHunk
from unidiff.patch import PatchedFile, PatchSet

from mesh.agents.review.changes import (
    PYTHON_SUFFIXES,
    ChangeSet,
    Content,
    FileChange,
    Hunk,
    Limits,
    Status,
    digest_of,
    told_apart,
)
from mesh.agents.review.collect import Collected
from mesh.agents.review.errors import BadPatch
from mesh.agents.review.fragments import Parses, parsing_fragment

_MODES: dict[str | None, Content] = {"120000": "symlink", "160000": "submodule"}
_ESCAPE = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_NAMED = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}
_LONGEST_FILE = 200_000
"""Lines: a hunk header may claim any position, and the blank lines up to it must be made."""
_LONGEST_FITTED = 1_500
"""Lines of a hunk that are still tried to be made to parse."""


def from_patch(patch: bytes | str, *, limits: Limits | None = None) -> Collected:
    """The changes of a unified diff. An empty one has no files.

    Raises:
        BadPatch: not a unified diff, or one that breaks off.
    """
    limits = limits or Limits()
    text = patch if isinstance(patch, str) else patch.decode("utf-8", "surrogateescape")
    if len(text) > limits.patch_bytes:
        raise BadPatch(f"the patch is larger than {limits.patch_bytes} bytes; review a range of the repository instead")
    parsed = _parsed(_plain(text))
    if not parsed and text.strip():
        raise BadPatch("this is not a unified diff: no file header was found (make one with `git diff`)")
    blobs: dict[str, bytes] = {}
    parses = Parses()
    files = told_apart(
        _file(each, blobs, parses, full=number >= limits.files or sum(map(len, blobs.values())) > limits.total_bytes)
        for number, each in enumerate(parsed[: limits.listed])
    )
    notes = ["reviewed from a patch alone"]
    if len(parsed) > len(files):
        notes.append(f"the patch has {len(parsed)} files; only the first {limits.listed} are listed")
    if parses.exhausted:
        notes.append("the patch is too large to be taken to pieces that parse: not all of it was read as Python")
    return Collected(ChangeSet(files=files, notes=tuple(notes)), blobs)


_COMBINED = re.compile(r"^(diff --(cc|combined) |@@@ )", re.MULTILINE)
_COLOURED = re.compile(r"^\x1b\[[0-9;]*m", re.MULTILINE)


def _plain(text: str) -> str:
    """The patch with plain line ends. Two kinds would otherwise be read as if they said nothing.

    Raises:
        BadPatch: the combined diff of a merge, or a coloured one.
    """
    if _COMBINED.search(text):
        raise BadPatch("this is the combined diff of a merge: make one against a parent, `git diff HEAD^1 HEAD`")
    if _COLOURED.search(text):
        raise BadPatch("this diff is coloured: make it with `git diff --no-color`")
    every_line = text.count("\n")
    return text.replace("\r\n", "\n") if every_line and text.count("\r\n") == every_line else text


def _parsed(text: str) -> PatchSet:
    try:
        return PatchSet(text)
    except (UnidiffParseError, ValueError, AssertionError) as error:
        raise BadPatch(f"this is not a unified diff: {str(error).strip()[:200]}") from None


def _file(patched: PatchedFile, blobs: dict[str, bytes], parses: Parses, *, full: bool) -> FileChange:
    path, old_path = (clean_path(name) for name in (patched.target_file, patched.source_file))
    status, whole = _status(patched)
    skipped = _why_not(patched, full=full)
    hunks = tuple(each for hunk in patched for each in _hunks(hunk))
    before = after = ""
    if not skipped:
        before = "" if status == "added" else _kept(patched, blobs, path or old_path, parses, new=False)
        after = "" if status == "deleted" else _kept(patched, blobs, path, parses, new=True)
    return FileChange(
        path=path or old_path,
        status=status,
        old_path=old_path if status == "renamed" else "",
        content="binary" if patched.is_binary_file else _MODES.get(patched.target_mode or patched.source_mode, "text"),
        before=before,
        after=after,
        hunks=() if skipped else hunks,
        skipped=skipped,
        partial=not whole and not skipped,
    )


def _status(patched: PatchedFile) -> tuple[Status, bool]:
    """What happened to the file, and whether the patch holds it whole."""
    if patched.is_added_file:
        return "added", True
    if patched.is_removed_file:
        return "deleted", True
    return ("renamed" if patched.is_rename else "modified"), False


def _why_not(patched: PatchedFile, *, full: bool) -> str:
    if patched.is_binary_file:
        return "binary"
    mode = patched.target_mode or patched.source_mode
    if mode in _MODES:
        return _MODES[mode]
    last = max(
        (hunk.target_start + hunk.target_length + hunk.source_start + hunk.source_length for hunk in patched), default=0
    )
    if last > _LONGEST_FILE:
        return f"too long: a hunk stands beyond line {_LONGEST_FILE}"
    return "the patch is too large: this file is beyond the limit" if full else ""


def clean_path(name: str) -> str:
    """The path in a patch header: quotes undone, `a/` or `b/` taken off; empty for /dev/null."""
    if name == "/dev/null":
        return ""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) > 1 and raw.startswith(b'"') and raw.endswith(b'"'):
        raw = _ESCAPE.sub(_unescaped, raw[1:-1])
    text = raw.decode("utf-8", "backslashreplace")
    return text[2:] if text[:2] in {"a/", "b/"} else text


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    return bytes([int(code, 8) & 255]) if code.isdigit() else _NAMED.get(code, code)


def _hunks(hunk: PatchHunk) -> Iterator[Hunk]:
    """The hunk without its context: one for each run of changed lines."""
    old, new = hunk.source_start, hunk.target_start
    removed = added = 0
    for line in hunk:
        if line.is_removed:
            removed += 1
        elif line.is_added:
            added += 1
        elif line.is_context:
            if removed or added:
                yield _run(old, removed, new, added)
            old, new, removed, added = old + removed + 1, new + added + 1, 0, 0
    if removed or added:
        yield _run(old, removed, new, added)


def _run(old: int, removed: int, new: int, added: int) -> Hunk:
    return Hunk(old if removed else max(0, old - 1), removed, new if added else max(0, new - 1), added)


def _kept(patched: PatchedFile, blobs: dict[str, bytes], path: str, parses: Parses, *, new: bool) -> str:
    """Put one side together, keep its bytes, and name them."""
    lines: list[str] = []
    for hunk in patched:
        start = hunk.target_start if new else hunk.source_start
        body = [
            line.value.rstrip("\n") for line in hunk if (line.is_added if new else line.is_removed) or line.is_context
        ]
        lines += [""] * (start - 1 - len(lines))
        lines += body if patched.is_added_file or patched.is_removed_file else _fitted(body, path, parses)
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    digest = digest_of(data)
    blobs[digest] = data
    return digest


def _fitted(body: list[str], path: str, parses: Parses) -> list[str]:
    python = path.endswith(PYTHON_SUFFIXES)
    return parsing_fragment(body, parses) if python and len(body) <= _LONGEST_FITTED else body
