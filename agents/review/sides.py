"""The bytes of both sides of changed files, read from git by object id, within limits.

What is not read is named with the reason; a file is either read whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.agents.review.changes import Limits, digest_of
from mesh.agents.review.git import Git
from mesh.agents.review.raw_diff import RawChange

_BINARY_PROBE = 8_000
"""git's own rule: a NUL in the first 8000 bytes makes a file binary. Attributes have no say: they could hide code."""


@dataclass(frozen=True)
class Sides:
    """What was read, by git id; why files were not, by path; and the changes whose sides are text."""

    blobs: dict[str, bytes]
    skipped: dict[str, str]
    texts: list[RawChange]
    digests: dict[str, str]

    def digest(self, raw: RawChange, blob: str) -> str:
        """The object digest of one side of a change; empty where it has none that was read."""
        return self.digests.get(blob, "") if raw.path not in self.skipped and blob in raw.ids else ""


async def read_sides(git: Git, listed: list[RawChange], limits: Limits) -> Sides:
    """Both sides of every ordinary file, as far as the limits allow."""
    sizes = await sizes_of(git, (blob for raw in listed for blob in raw.ids))
    skipped: dict[str, str] = {}
    chosen: list[RawChange] = []
    total = 0
    for raw in listed:
        needed = sum(sizes.get(blob, 0) for blob in raw.ids)
        full = len(chosen) >= limits.files or total + needed > limits.total_bytes
        if why := _why_not(raw, sizes, limits, full=full):
            skipped[raw.path] = why
        else:
            total += needed
            chosen.append(raw)
    blobs = await contents_of(git, (blob for raw in chosen for blob in raw.ids), limits.total_bytes)
    binary = {raw.path: "binary" for raw in chosen if any(b"\0" in blobs[blob][:_BINARY_PROBE] for blob in raw.ids)}
    skipped.update(binary)
    digests = {blob: digest_of(data) for blob, data in blobs.items()}
    return Sides(blobs, skipped, [raw for raw in chosen if raw.path not in binary], digests)


def _why_not(raw: RawChange, sizes: dict[str, int], limits: Limits, *, full: bool) -> str:
    """Why a file is not read, or nothing."""
    if raw.content != "text":
        return raw.content
    if any(blob not in sizes for blob in raw.ids):
        return "its content is not in this repository (a partial clone?)"
    largest = max((sizes[blob] for blob in raw.ids), default=0)
    if largest > limits.file_bytes:
        return f"too large: {largest} bytes, the limit is {limits.file_bytes}"
    return "the diff is too large: this file is beyond the limit" if full else ""


async def sizes_of(git: Git, ids: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each object that is there."""
    asked = "".join(f"{blob}\n" for blob in dict.fromkeys(ids)).encode()
    if not asked:
        return {}
    lines = (await git.ask("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)).decode().splitlines()
    return {blob: int(size) for blob, size in map(str.split, lines) if size.isdigit()}


async def contents_of(git: Git, ids: Iterable[str], most: int) -> dict[str, bytes]:
    """The bytes of each object. They come as `<id> <type> <size>`, a newline, the bytes, a newline, in the order asked."""
    asked = list(dict.fromkeys(ids))
    if not asked:
        return {}
    stdin = "".join(f"{blob}\n" for blob in asked).encode()
    output = await git.ask("cat-file", "--batch", stdin=stdin, max_output=most + 1_000 * len(asked))
    found: dict[str, bytes] = {}
    at = 0
    for blob in asked:
        end = output.index(b"\n", at)
        size = int(output[at:end].split()[2])
        found[blob] = output[end + 1 : end + 1 + size]
        at = end + size + 2
    return found
