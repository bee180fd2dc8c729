"""Which repositories a job may name: those below the folders that the host's manifest lists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mesh.agents.review.errors import RepositoryNotAllowed
from mesh.agents.review.git import Git


def allowed(repo: Path, roots: Iterable[Path]) -> bool:
    """Whether `repo`, with every symlink followed, lies in (or is) one of `roots`. One that leads to itself leads nowhere."""
    real = Path(os.path.realpath(repo))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)


async def check(git: Git, roots: Iterable[Path]) -> None:
    """Let a repository pass only if everything that git would read of it lies below `roots`.

    The folder is checked before git looks at it, so that the answer for a forbidden one does not tell whether it exists.
    Then the folders that it points to are: a linked work tree, a `.git` file, a borrowed object store.

    Raises:
        RepositoryNotAllowed · NotARepository · GitFailed.
    """
    listed = tuple(roots)
    if not allowed(git.folder, listed):
        raise _refusal(git.folder, listed)
    for place in await git.places():
        if not allowed(place, listed):
            raise _refusal(place, listed)


def _refusal(place: Path, roots: tuple[Path, ...]) -> RepositoryNotAllowed:
    names = ", ".join(str(root) for root in roots) or "none"
    return RepositoryNotAllowed(
        f"{place} is not among the repositories that jobs may name on this host (allowed: {names}); "
        "add it to `repositories` under [host] in mesh.toml"
    )
