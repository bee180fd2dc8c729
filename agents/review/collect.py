"""The first step of a review: from a repository and a range to a `ChangeSet` and the bytes of both its sides.

After `git` (which runs the commands) and before the object store. Runs on a host that has the repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mesh.agents.review.changes import ChangeSet, Content, FileChange, Hunk, Limits, SettingsFile, digest_of, told_apart
from mesh.agents.review.git import DIFF_FLAGS, Git, resolve
from mesh.agents.review.raw_diff import RawChange, merged, printable, raw_changes, sections
from mesh.agents.review.sides import Sides, contents_of, read_sides, sizes_of

SETTINGS_NAMES = ("pyproject.toml", "ruff.toml", ".ruff.toml")
SETTINGS_BYTES = 256_000
SETTINGS_IN_ALL = 4_000_000
"""Bytes of one settings file, and of all of them: there may be some in every folder."""
DIFF_BYTES = 256_000_000
MOST_PACKAGES = 200
_ARGUMENT_BYTES = 100_000

Hunks = dict[str, tuple[Hunk, ...]]


@dataclass(frozen=True)
class Collected:
    """A change set, and every object that it refers to, by digest."""

    changes: ChangeSet
    blobs: dict[str, bytes]


async def collect(folder: Path, text: str = "", *, limits: Limits | None = None) -> Collected:
    """Read the diff of a range of the repository that holds `folder`. Nothing is written, run or fetched.

    Raises:
        NotARepository · BadRange · GitFailed.
    """
    git, limits = Git(folder), limits or Limits()
    base, head = await resolve(git, text)
    every = raw_changes(await _diff(git, base, head, "--raw", "-z", "-M", "--no-abbrev"))
    listed = every[: limits.listed]
    sides = await read_sides(git, listed, limits)
    hunks = await _hunks(git, base, head, sides.texts, whole=len(sides.texts) == len(every))
    settings, blobs, unread = await _settings(git, head, [raw.path for raw in sides.texts if raw.path.endswith(".py")])
    changes = ChangeSet(
        repo=str(await git.top()),
        range=text,
        base=base,
        head=head,
        files=told_apart(_file(raw, sides, hunks) for raw in listed),
        settings=settings,
        first_party=await _first_party(git, head),
        notes=(*_notes(len(every), limits), *unread),
    )
    objects = {digest: sides.blobs[blob] for blob, digest in sides.digests.items()} | blobs
    return Collected(changes, {digest: objects[digest] for digest in changes.digests})


async def _diff(git: Git, base: str, head: str, *flags: str, paths: tuple[str, ...] = ()) -> bytes:
    return await git.ask("diff-tree", "-r", *DIFF_FLAGS, *flags, base, head, "--", *paths, max_output=DIFF_BYTES)


def _notes(count: int, limits: Limits) -> tuple[str, ...]:
    if count <= limits.listed:
        return ()
    return (f"the diff has {count} files; only the first {limits.listed} are listed",)


async def _hunks(git: Git, base: str, head: str, texts: list[RawChange], *, whole: bool) -> Hunks:
    """The hunks by path, asked for in one go, or, where only some of the files were read, in batches of those."""
    found: Hunks = {}
    both = ([path for path in (raw.old_path, raw.path) if path] for raw in texts)
    for paths in [()] if whole else list(_batches(both)):
        output = await _diff(git, base, head, "--raw", "-p", "-z", "-M", "--no-abbrev", "-U0", "--text", paths=paths)
        found.update(_paired(output))
    return found


def _paired(output: bytes) -> Hunks:
    """The raw list comes with the patch, so both are in the same order; an empty field stands between them."""
    raw, _, patch = output.partition(b"\0\0")
    parts = iter(sections(patch))
    return {each.path: merged([next(parts) for _ in range(each.sections)]) for each in raw_changes(raw + b"\0")}


def _batches(several: Iterable[list[str]]) -> Iterator[tuple[str, ...]]:
    """Paths for one command each; those that come together (both names of a rename) stay together."""
    batch: list[str] = []
    size = 0
    for paths in several:
        batch += paths
        size += sum(map(len, paths))
        if size > _ARGUMENT_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def _file(raw: RawChange, sides: Sides, hunks: Hunks) -> FileChange:
    skipped = sides.skipped.get(raw.path, "")
    content: Content = "binary" if skipped == "binary" else raw.content
    return FileChange(
        path=printable(raw.path),
        status=raw.status,
        old_path=printable(raw.old_path),
        content=content,
        before=sides.digest(raw, raw.old_id),
        after=sides.digest(raw, raw.new_id),
        hunks=() if skipped else hunks.get(raw.path, ()),
        skipped=skipped,
    )


async def _settings(
    git: Git, head: str, paths: list[str]
) -> tuple[tuple[SettingsFile, ...], dict[str, bytes], tuple[str, ...]]:
    """The settings files in every folder above a changed Python file, as they are at `head`; a note for each not read."""
    folders = dict.fromkeys(folder for path in paths for folder in PurePosixPath(path).parents)
    names = ([str(folder / name) for name in SETTINGS_NAMES] for folder in folders)
    ids: dict[str, str] = {}
    for some in _batches(names):
        ids.update(_regular(await git.ask("ls-tree", "-z", "--full-tree", head, "--", *some)))
    small = _small(ids, await sizes_of(git, ids.values()))
    contents = await contents_of(git, small.values(), SETTINGS_IN_ALL)
    files = tuple(SettingsFile(path=printable(path), digest=digest_of(contents[blob])) for path, blob in small.items())
    unread = tuple(f"{printable(path)} was not read: it is too large" for path in ids if path not in small)
    return files, {digest_of(data): data for data in contents.values()}, unread


def _small(ids: dict[str, str], sizes: dict[str, int]) -> dict[str, str]:
    """Those that are not too large, as far as all of them together may go."""
    room = SETTINGS_IN_ALL
    small: dict[str, str] = {}
    for path, blob in ids.items():
        size = sizes.get(blob, SETTINGS_BYTES + 1)
        if size <= min(SETTINGS_BYTES, room):
            small[path] = blob
            room -= size
    return small


async def _first_party(git: Git, head: str) -> tuple[str, ...]:
    """The repository's own folders and modules at its top, and below `src`."""
    listed = await git.ask("ls-tree", "-z", "--name-only", "--full-tree", head, "--", "./", "src/")
    names = [printable(name.decode("utf-8", "surrogateescape")) for name in listed.split(b"\0") if name]
    found = [name.removesuffix(".py") for name in names if name.endswith(".py") or "." not in name]
    return tuple(name for name in found if name.rpartition("/")[2].isidentifier())[:MOST_PACKAGES]


def _regular(output: bytes) -> Iterator[tuple[str, str]]:
    """Path and id of the ordinary files that `ls-tree -z` lists."""
    for line in filter(None, output.split(b"\0")):
        facts, path = line.split(b"\t", 1)
        mode, _, blob = facts.decode().split(" ")
        if mode.startswith("100"):
            yield path.decode("utf-8", "surrogateescape"), blob
