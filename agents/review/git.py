"""git, run so that a hostile repository or range can neither run anything, nor write, nor fetch.

Only plumbing is used, between trees: no work tree is read, no filter, textconv, pager, hook, signature check or credential
helper has an occasion to run. Names from outside go through `rev-parse --verify --end-of-options` and become object ids
before any other command sees them.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from mesh.agents.review.errors import BadRange, GitFailed, NotARepository
from mesh.agents.review.processes import Ended, TooMuchOutput, TooSlow, bare_environment, run

TIMEOUT = 20.0
"""Seconds for one git command."""

SAFE_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "core.pager=cat",
    "core.sshCommand=false",
    "credential.helper=",
    "diff.external=",
    "diff.orderFile=/dev/null",
    "log.showSignature=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "uploadpack.packObjectsHook=",
)

DIFF_FLAGS = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none", "--submodule=short")

_LONG_RANGE = 1_000
_BORROWED = b"alternate: "
_NO_REPOSITORY = re.compile(r"not a git repository|cannot change to|Not a directory|No such file", re.IGNORECASE)


class Git:
    """One repository, read-only. `folder` may be any folder inside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trusted: tuple[str, ...] | None = None

    async def __call__(
        self, *arguments: str, stdin: bytes = b"", max_output: int = 64_000_000, timeout: float = TIMEOUT
    ) -> Ended:
        """Run one git command in the folder.

        Raises:
            NotARepository: the folder is missing or in no repository.
            GitFailed: git is missing, cannot be run there or did not end in time, or said more than `max_output` bytes.
        """
        if not _is_folder(self.folder):
            raise NotARepository(f"{self.folder} is not a folder")
        if self._trusted is None:
            self._trusted = await _trusted_folders()
        settings = [*SAFE_SETTINGS, *(f"safe.directory={folder}" for folder in self._trusted)]
        flags = [part for setting in settings for part in ("-c", setting)]
        argv = ["git", "--no-pager", "--no-optional-locks", "--literal-pathspecs", *flags, *arguments]
        try:
            return await run(
                argv, cwd=self.folder, env=_environment(), timeout=timeout, stdin=stdin, max_output=max_output
            )
        except FileNotFoundError:
            raise GitFailed("git is not installed: install it, or review a patch with --diff") from None
        except OSError as error:
            raise GitFailed(f"git {arguments[0]} cannot be run in {self.folder}: {error.strerror or error}") from None
        except (TooSlow, TooMuchOutput) as error:
            raise GitFailed(f"git {arguments[0]}: {error}") from None

    async def ask(self, *arguments: str, stdin: bytes = b"", max_output: int = 64_000_000) -> bytes:
        """What a command prints.

        Raises:
            NotARepository · GitFailed: the command failed.
        """
        ended = await self(*arguments, stdin=stdin, max_output=max_output)
        if ended.code == 0:
            return ended.output
        raise _failure(self.folder, arguments[0], ended)

    async def places(self) -> tuple[Path, ...]:
        """Every folder that reading this repository reads from: its top, its git folders, borrowed object folders."""
        lines = await self.ask("rev-parse", "--absolute-git-dir", "--git-common-dir")
        git_dir, common = (self.folder / os.fsdecode(line) for line in lines.splitlines())
        objects = [common / "objects", *await self._borrowed()]
        linked = [link for each in objects for link in await asyncio.to_thread(_links, each)]
        return tuple({await self.top(), git_dir, common, *objects, *linked})

    async def _borrowed(self) -> list[Path]:
        """The object folders that this one borrows from, and those that they borrow from: as git itself follows them."""
        lines = (await self.ask("count-objects", "-v")).splitlines()
        return [_unquoted(line.removeprefix(_BORROWED)) for line in lines if line.startswith(_BORROWED)]

    async def top(self) -> Path:
        """The top folder of the work tree; the git folder itself for a bare repository."""
        bare = (await self.ask("rev-parse", "--is-bare-repository")).strip() == b"true"
        flag = "--absolute-git-dir" if bare else "--show-toplevel"
        return Path(os.fsdecode((await self.ask("rev-parse", flag)).rstrip(b"\n")))

    async def verify(self, name: str, kind: str = "commit") -> str | None:
        """The object id that `name` stands for, or None. The name is never read as an option, whatever it starts with."""
        if not name or len(name) > _LONG_RANGE or any(ord(char) < 32 for char in name):
            return None
        ended = await self("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{{kind}}}")
        if ended.code and _NO_REPOSITORY.search(ended.errors):
            raise _failure(self.folder, "rev-parse", ended)
        return ended.output.decode().strip() or None if ended.code == 0 else None

    async def commit(self, name: str) -> str:
        """The commit id of a revision.

        Raises:
            BadRange: it names no commit here.
        """
        found = await self.verify(name)
        if found is None:
            raise BadRange(f"{name!r} names no commit of {self.folder}: check it with `git rev-parse --verify`")
        return found

    async def empty_tree(self) -> str:
        """The id of the tree with nothing in it, in the repository's own hash format."""
        return (await self.ask("hash-object", "-t", "tree", "/dev/null")).decode().strip()


async def resolve(git: Git, text: str) -> tuple[str, str]:
    """The two ids (base, head) of a range; the base is the empty tree for a root commit.

    `A..B` and `A...B` (from their merge base) as git has them, an empty side being HEAD; one revision, or nothing for
    HEAD, is that commit against its first parent.

    Raises:
        BadRange: a side names no commit, both have no merge base, or the history ends early (a shallow clone).
        NotARepository · GitFailed.
    """
    dots = "..." if "..." in text else ".."
    left, separator, right = text.partition(dots)
    if not separator:
        return await _against_parent(git, text or "HEAD")
    base, head = await git.commit(left or "HEAD"), await git.commit(right or "HEAD")
    return (await _merge_base(git, base, head) if dots == "..." else base), head


async def _against_parent(git: Git, name: str) -> tuple[str, str]:
    head = await _last_commit(git) if name == "HEAD" else await git.commit(name)
    parent = await git.verify(f"{head}^1")
    if parent is not None:
        return parent, head
    if (await git.ask("rev-parse", "--is-shallow-repository")).strip() == b"true":
        raise BadRange(f"the parent of {head[:12]} is not in this shallow clone: run `git fetch --deepen=1`")
    return await git.empty_tree(), head


async def _last_commit(git: Git) -> str:
    head = await git.verify("HEAD")
    if head is None:
        await git.top()
        raise BadRange(f"{git.folder} has no commit yet: there is nothing to review")
    return head


async def _merge_base(git: Git, one: str, other: str) -> str:
    ended = await git("merge-base", one, other)
    if ended.code:
        raise BadRange(f"{one[:12]} and {other[:12]} have no common ancestor here: use `..` or fetch more history")
    return ended.output.decode().split()[0]


def _is_folder(path: Path) -> bool:
    """`Path.is_dir` raises for a name that is too long, or behind a folder that is shut."""
    return os.path.isdir(path)


def _unquoted(path: bytes) -> Path:
    """A path as git prints it: an odd one in quotes, with the escapes of C."""
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return Path(os.fsdecode(path))


def _links(objects: Path) -> list[Path]:
    """Every link in an object folder: what it points to is read as if it stood there."""
    return [
        Path(folder) / name
        for folder, folders, files in os.walk(objects)
        for name in (*folders, *files)
        if os.path.islink(os.path.join(folder, name))
    ]


def _environment() -> dict[str, str]:
    """GIT_ALLOW_PROTOCOL outranks any `protocol.*.allow` in the repository's own configuration."""
    return bare_environment(
        "/nonexistent",
        GIT_ALLOW_PROTOCOL="none",
        GIT_ASKPASS="false",
        GIT_ATTR_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_NO_LAZY_FETCH="1",
        GIT_NO_REPLACE_OBJECTS="1",
        GIT_OPTIONAL_LOCKS="0",
        GIT_PAGER="cat",
        GIT_TERMINAL_PROMPT="0",
        SSH_ASKPASS="false",
    )


async def _trusted_folders() -> tuple[str, ...]:
    """The folders that this machine's user has declared safe: the one thing taken over from their own settings."""
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    for name in [
        name for name in env if name.startswith("GIT_") and name not in {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"}
    ]:
        del env[name]
    try:
        ended = await run(["git", "config", "-z", "--get-all", "safe.directory"], cwd="/", env=env, timeout=TIMEOUT)
    except (OSError, TooSlow, TooMuchOutput):
        return ()
    return tuple(os.fsdecode(value) for value in ended.output.split(b"\0") if value)


def _failure(folder: Path, command: str, ended: Ended) -> NotARepository | GitFailed:
    said = " ".join(ended.errors.split())[:300]
    if "dubious ownership" in said:
        return NotARepository(
            f"{folder} belongs to another user, so git refuses to read it; "
            f"if you trust it: git config --global --add safe.directory {folder}"
        )
    if _NO_REPOSITORY.search(said):
        return NotARepository(f"{folder} is in no git repository; give its path, or a patch with --diff")
    if re.search(r"promisor|missing blob|unable to read|could not fetch|not our ref|transport '.*' not allowed", said):
        return GitFailed(f"objects are missing in {folder} (a partial clone?), and a review fetches nothing: {said}")
    return GitFailed(f"git {command} failed in {folder} (exit {ended.code}): {said}")
