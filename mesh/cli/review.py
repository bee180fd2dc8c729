"""`mesh review`: review a git diff, by a mesh that is there, or by a team started for the occasion."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.exits import BadInput, Exit
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_value
from mesh.cli.running import connected, run, tidy_on_sigterm
from mesh.protocols.errors import BadPayload, Refused, TimedOut, Unavailable

if TYPE_CHECKING:
    from mesh.agents.review.changes import ReviewRequest
    from mesh.agents.review.findings import Review
    from mesh.client.mesh import Mesh

WORKFLOW = "code-review"
NAMESPACE = "review"
INLINE = 200_000
"""A patch up to this many bytes stands in the job itself; a larger one goes through the object store."""


WIDTH = 140
"""Columns of a table that nobody looks at on a terminal."""
_ELSEWHERE = {"repository-not-allowed", "not-a-repository"}
"""What a mesh answers that could review, but not this repository."""


class _NotHere(Exception):
    """No mesh is there that offers the workflow; the message says it for people."""


class ReviewFormat(StrEnum):
    """How the review is printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    SARIF = "sarif"


class Severity(StrEnum):
    """From worst to mildest."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


@shared_options
def review(
    options: Options,
    path: Annotated[Path, typer.Argument(help="A git repository, or any folder in one.")] = Path(),
    range_: Annotated[
        str, typer.Option("--range", help="REV..REV, REV...REV or one REV (default: the last commit).")
    ] = "",
    diff: Annotated[str, typer.Option(metavar="FILE|-", help="Review a patch alone, from a file or stdin.")] = "",
    fail_on: Annotated[
        Severity | None, typer.Option(help="Exit 1 for a finding as bad as this, or if part of the review is missing.")
    ] = None,
    format_: Annotated[ReviewFormat | None, typer.Option("--format", help="How to print the review.")] = None,
) -> None:
    """Review the diff of a git repository: by a reachable mesh that offers the workflow, else by a team of its own.

    Exit 0 also with findings, unless --fail-on says otherwise.
    """
    if diff and range_:
        raise BadInput("--diff reviews a patch alone and --range a repository: give one of them")
    patch = _patch(diff) if diff else None
    made = run(_reviewed(options, path.absolute(), range_, patch))
    print_review(made, format_, options.output)
    if fail_on is not None and (not made.complete or made.worst_at_least(fail_on.value)):
        raise typer.Exit(Exit.FAILED)


def _patch(diff: str) -> bytes:
    try:
        data = sys.stdin.buffer.read() if diff == "-" else Path(diff).read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {diff}: {error.strerror or error}") from None
    if not data.strip():
        raise BadInput(f"{'stdin' if diff == '-' else diff} is empty: there is no patch to review")
    return data


async def _reviewed(options: Options, path: Path, range_: str, patch: bytes | None) -> Review:
    """Check the request here, where mistakes are cheap; then have it done by whoever can."""
    places = await _checked(path, range_, patch)
    async with AsyncExitStack() as stack:
        try:
            mesh = await _offering(options, stack)
            return await _done(mesh, places[0], range_, patch, options)
        except _NotHere as why:
            note(f"{why}; starting a team for this review")
        except (Refused, BadPayload) as error:
            if patch is not None or error.detail.get("reason") not in _ELSEWHERE:
                raise
            note(f"the mesh cannot review this repository ({error}); starting a team for it")
    _check_readable(patch)
    async with tidy_on_sigterm(), _own_team(places) as mesh:
        return await _done(mesh, places[0], range_, patch, options, goes_on=False)


def _check_readable(patch: bytes | None) -> None:
    from mesh.agents.review.analysers.tool import INSTALL, installed

    if patch is not None and not installed("unidiff"):
        raise BadInput(f"reviewing a patch alone needs unidiff: {INSTALL}, or review a range of a repository")


async def _checked(path: Path, range_: str, patch: bytes | None) -> tuple[Path, ...]:
    """The top of the repository, then the other folders that git reads it from.

    Raises:
        BadPayload: no repository, or no such range.
    """
    from mesh.agents.review.git import Git, resolve

    if patch is not None:
        return (path,)
    git = Git(path)
    top, places = await git.top(), await git.places()
    await resolve(git, range_)
    return (top, *(place for place in places if place != top))


async def _offering(options: Options, stack: AsyncExitStack) -> Mesh:
    """A client of a mesh that offers the workflow.

    Raises:
        _NotHere: there is none. Unavailable: the server that was asked for by name is not there.
    """
    try:
        mesh = await stack.enter_async_context(connected(options, name="review"))
    except Unavailable as error:
        if options.server or options.context:
            raise
        raise _NotHere(
            "no mesh is configured" if error.code == "no-server" else f"no mesh is reachable ({error})"
        ) from None
    if not mesh.directory.lookup(f"workflow.{WORKFLOW}"):
        raise _NotHere(f"the mesh does not offer {WORKFLOW}")
    return mesh


@asynccontextmanager
async def _own_team(repositories: tuple[Path, ...]) -> AsyncIterator[Mesh]:
    """A client of a team on a server of its own; both are gone afterwards."""
    from mesh.agents.review.team import shortage, team
    from mesh.client.mesh import Mesh
    from mesh.host.console import Silent
    from mesh.host.ephemeral import ephemeral_host

    if lacking := shortage():
        note(lacking)
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(
            ephemeral_host(team(), namespace=NAMESPACE, repositories=repositories, console=Silent())
        )
        yield await stack.enter_async_context(Mesh.connect(own.target, namespace=own.namespace, name="review"))


async def _done(
    mesh: Mesh, top: Path, range_: str, patch: bytes | None, options: Options, *, goes_on: bool = True
) -> Review:
    """Submit the review, show how it goes, and give what came out. `goes_on`: whether it does when nobody waits any more."""
    from mesh.agents.review.findings import Review
    from mesh.cli.progress import JobProgress

    handle = await mesh.submit(WORKFLOW, await _request(mesh, top, range_, patch))
    try:
        with JobProgress() as progress:
            state = await handle.watch(progress.tell, timeout=options.timeout)
    except (asyncio.CancelledError, TimedOut) as end:
        if goes_on:
            note(f"job {handle.id} goes on: `mesh job result {handle.id}` waits for it")
        elif isinstance(end, TimedOut):
            raise TimedOut(
                f"the review took longer than {options.timeout:g} s; its team is gone, and the review with it"
            ) from None
        raise
    review: Review = await handle.outcome(state, returns=Review)
    return review


async def _request(mesh: Mesh, top: Path, range_: str, patch: bytes | None) -> ReviewRequest:
    from mesh.agents.review.changes import ReviewRequest

    if patch is None:
        return ReviewRequest(repo=str(top), range=range_)
    if len(patch) <= INLINE:
        with suppress(UnicodeDecodeError):
            return ReviewRequest(diff=patch.decode("utf-8"))
    return ReviewRequest(diff_digest=await (await mesh.peer.payloads.objects()).put(patch))


def print_review(review: Review, form: ReviewFormat | None, output: Format) -> None:
    """Print a review on stdout, in `form`, or as `-o` says."""
    from mesh.agents.review import formats
    from mesh.agents.review.findings import as_json

    if form is None and output is Format.YAML:
        print_value(as_json(review), output)
        return
    chosen = form or ReviewFormat(output)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    text = formats.render(
        review, formats.ReviewFormat(chosen), width=width, colour=terminal and not os.environ.get("NO_COLOR")
    )
    sys.stdout.write(text)
    sys.stdout.flush()
