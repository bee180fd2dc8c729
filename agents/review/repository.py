"""`Repository`: the one agent that reads repositories, on the hosts that have them. Everyone else sees objects only.

Which repositories jobs may name is the host's to say: `repositories` under `[host]` of its manifest, handed to its
processes in MESH_REPOSITORIES. Nothing is allowed where nothing is said.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.agents.review.allowlist import allowed, check
from mesh.agents.review.analysers.tool import INSTALL
from mesh.agents.review.changes import ChangeSet, ReviewRequest
from mesh.agents.review.collect import Collected, collect
from mesh.agents.review.errors import PatchNotReadable, RepositoryNotAllowed
from mesh.agents.review.git import Git
from mesh.agents.review.objects import keep
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.errors import BadPayload

VARIABLE = "MESH_REPOSITORIES"
TIMEOUT = 60.0
NOT_HERE = 0.2
"""What is left of the success bid for a repository that this host does not have: another host's bid wins, and if there is
none, somebody is there to say what is wrong."""


def roots_from(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders that the host allows."""
    return tuple(Path(part) for part in environ.get(VARIABLE, "").split(os.pathsep) if part)


class Repository(Agent):
    """Reads the diff of a repository on this host, or of a patch, and puts both sides of it into the object store."""

    capacity = 2
    labels = {"repository": "yes"}

    def __init__(self, roots: Sequence[Path] | None = None) -> None:
        self.roots = roots_from(os.environ) if roots is None else tuple(roots)

    @command(capability="review.collect", effect="pure", timeout=TIMEOUT)
    async def collect(self, request: ReviewRequest, ctx: Context) -> ChangeSet:
        """Collect what a review is about. Again: the same change set, the same objects.

        Raises:
            RepositoryNotAllowed: the host does not allow it. NotARepository · BadRange · BadPatch · GitFailed.
        """
        collected = await self._read(request, ctx)
        ctx.progress(f"{len(collected.changes.files)} files changed")
        bundles = await keep(await ctx.objects(), collected.blobs)
        return msgspec.structs.replace(collected.changes, bundles=bundles)

    @collect.bid
    def bid_collect(self, call: CallForProposal, bid: Bid) -> Bid | None:
        """The computed bid where this host has what the request names, a poor one where it has not."""
        try:
            request = msgspec.json.decode(call.input, type=ReviewRequest)
        except msgspec.MsgspecError:
            return bid
        if request.of_patch or self._has(request.repo):
            return bid
        return msgspec.structs.replace(bid, success=bid.success * NOT_HERE)

    async def _read(self, request: ReviewRequest, ctx: Context) -> Collected:
        if request.of_patch:
            return await asyncio.to_thread(_patched, await _patch(request, ctx))
        folder = self._folder(request.repo)
        await check(Git(folder), self.roots)
        return await collect(folder, request.range)

    def _folder(self, repo: str) -> Path:
        """Where the repository is; a relative path starts at the first folder that the host allows."""
        if not self.roots:
            raise RepositoryNotAllowed(
                "this host allows no repository: start it with `mesh up`, which allows the manifest's folder, "
                "or name folders in `repositories` under [host]"
            )
        return self.roots[0] / repo

    def _has(self, repo: str) -> bool:
        folder = self.roots[0] / repo if self.roots else Path(repo)
        return os.path.isdir(folder) and allowed(folder, self.roots)


async def _patch(request: ReviewRequest, ctx: Context) -> bytes:
    if request.diff:
        return request.diff.encode("utf-8", "surrogatepass")
    try:
        return await (await ctx.objects()).get(request.diff_digest)
    except KeyError:
        raise BadPayload(
            f"there is no object {request.diff_digest}: put the patch into the object store first"
        ) from None


def _patched(patch: bytes) -> Collected:
    try:
        from mesh.agents.review.patch import from_patch
    except ImportError:
        raise PatchNotReadable(f"reviewing a patch alone needs unidiff on this host: {INSTALL}") from None
    return from_patch(patch)
