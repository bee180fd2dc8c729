"""Small git repositories for the tests, made with the real git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mesh.agents.review.changes import ChangeSet, FileChange, Hunk, digest_of

_WHO = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}


def git(path: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run git in `path`, and give what it prints."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **_WHO,
    }
    done = subprocess.run(
        ["git", *arguments], cwd=path, env=env, check=True, capture_output=True, input=stdin, timeout=30
    )
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repo:
    """A repository that grows by commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        git(path, "init", "--quiet", "--initial-branch=main")

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "change") -> str:
        """Write (or, with None, delete) files, and commit everything."""
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink()
            else:
                target.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(self.path, "add", "--all")
        git(self.path, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.path, "rev-parse", "HEAD")


def changed(
    path: str, before: str | None, after: str, *hunks: Hunk, partial: bool = False
) -> tuple[FileChange, dict[str, bytes]]:
    """A file change made by hand, and its blobs; without hunks every line of the after side is new."""
    blobs = {digest_of(text.encode()): text.encode() for text in (before, after) if text is not None}
    whole = Hunk(0, 0, 1, after.count("\n") + 1)
    file = FileChange(
        path=path,
        status="added" if before is None else "modified",
        before="" if before is None else digest_of(before.encode()),
        after=digest_of(after.encode()),
        hunks=hunks or (whole,),
        partial=partial,
    )
    return file, blobs


def change_set(*parts: tuple[FileChange, dict[str, bytes]]) -> tuple[ChangeSet, dict[str, bytes]]:
    """Several of them as one change set."""
    blobs = {digest: data for _, each in parts for digest, data in each.items()}
    return ChangeSet(files=tuple(file for file, _ in parts)), blobs
