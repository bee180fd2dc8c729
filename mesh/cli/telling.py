"""`mesh job cancel|pause|resume|signal|resolve`: telling a job something, and what it made of it."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.exits import BadInput
from mesh.cli.interrupted import interrupted
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import print_value, printable
from mesh.cli.running import connected, run
from mesh.cli.submit import read_argument
from mesh.jobs.outside.words import became
from mesh.protocols.errors import Refused
from mesh.protocols.job_events import tag_of

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.jobs.outside.control import Verdict
    from mesh.jobs.outside.handle import JobHandle

ANSWERED_WITHIN = 10.0
"""Seconds for which a command waits for the job's answer, where --timeout does not say otherwise."""

Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the beginning of it.")]
By = Annotated[str, typer.Option(help="Who says it (default: the user of this machine).", show_default=False)]
Key = Annotated[str, typer.Option(help="Your own key: said again with the same key, it counts once.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the journal.")]


@shared_options
def cancel(options: Options, job: Id, key: Key = "", by: By = "", reason: Reason = "") -> None:
    """End a job: nothing more is begun, what runs is stopped, and what it had done is undone where it says how."""
    tell(options, job, lambda handle: handle.cancel(key=key, by=by or user(), reason=reason, timeout=patience(options)))


@shared_options
def pause(
    options: Options,
    job: Id,
    now: Annotated[bool, typer.Option("--now", help="Also stop what is under way; it is done again later.")] = False,
    key: Key = "",
    by: By = "",
    reason: Reason = "",
) -> None:
    """Begin nothing more of a job until it is resumed."""
    tell(
        options,
        job,
        lambda handle: handle.pause(now=now, key=key, by=by or user(), reason=reason, timeout=patience(options)),
    )


@shared_options
def resume(options: Options, job: Id, key: Key = "", by: By = "", reason: Reason = "") -> None:
    """Go on with a paused job."""
    tell(options, job, lambda handle: handle.resume(key=key, by=by or user(), reason=reason, timeout=patience(options)))


@shared_options
def signal(
    options: Options,
    job: Id,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the job waits for, or will.")],
    given: Annotated[
        str, typer.Argument(metavar="[VALUE|-|@FILE]", help="Its value as JSON, from stdin (-), or from a file.")
    ] = "null",
    key: Key = "",
    by: By = "",
    reason: Reason = "",
) -> None:
    """Send a job a signal; it is kept until the job waits for one of that name."""
    value = read_argument(given)
    tell(
        options,
        job,
        lambda handle: handle.signal(name, value, key=key, by=by or user(), reason=reason, timeout=patience(options)),
    )


@shared_options
def resolve(
    options: Options,
    job: Id,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The step in doubt, or the one whose undoing failed.")],
    succeeded: Annotated[
        str | None, typer.Option(metavar="JSON|-|@FILE", help="It was done, with this result.", show_default=False)
    ] = None,
    failed: Annotated[str | None, typer.Option(metavar="WHY", help="It was not done.", show_default=False)] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Do it again.")] = False,
    by: By = "",
    reason: Reason = "",
) -> None:
    """Say what became of a step that nobody can know the outcome of: exactly one of --succeeded, --failed, --retry."""
    if (succeeded is not None) + (failed is not None) + retry != 1:
        raise BadInput("say what became of it: exactly one of --succeeded JSON, --failed WHY, --retry")
    value = read_argument(succeeded) if succeeded is not None else None
    how: Any = "succeeded" if succeeded is not None else "failed" if failed is not None else "retry"
    tell(
        options,
        job,
        lambda handle: handle.resolve(
            key, how, value, by=by or user(), reason=failed or reason, timeout=patience(options)
        ),
    )


VERBS: tuple[Callable[..., Any], ...] = (cancel, pause, resume, signal, resolve)


def tell(options: Options, job: str, say: Callable[[JobHandle], Awaitable[Verdict]]) -> None:
    """Find the job, tell it something, and print what it made of it.

    Raises:
        Refused: it changed nothing; says why. TimedOut: it is stored, and nobody has taken it yet.
    """

    async def work() -> Verdict:
        async with connected(options) as mesh:
            handle = await find(mesh, job)
            with interrupted(f"whether job {handle.id} was told, `mesh job events {handle.id}` tells"):
                return await say(handle)

    report(run(work()), options.output)


def report(verdict: Verdict, output: Format) -> None:
    """Print what became of a message.

    Raises:
        Refused: it changed nothing.
    """
    if not verdict.taken or verdict.event is None:
        raise Refused(f"job {verdict.job} passed it over: {verdict.why}", detail={"reason": verdict.why})
    if output is Format.TABLE:
        typer.echo(printable(f"job {verdict.job}: {became(verdict.event, verdict.status)}"))
    else:
        event = tag_of(verdict.event)
        print_value({"job": verdict.job, "event": event, "state": verdict.status, "sequence": verdict.sequence}, output)


async def find(mesh: Mesh, job: str) -> JobHandle:
    """The job with this id, or whose id begins so.

    Raises:
        UnknownJob: there is none, or there are several.
    """
    from mesh.jobs.journals.journals import Journals

    found = await Journals(mesh.peer.store, mesh.peer.subjects).find(job)
    return mesh.job(found.entry.job, tenant=found.entry.tenant)


def patience(options: Options) -> float:
    """Seconds for which the job's answer is waited for."""
    return ANSWERED_WITHIN if options.timeout is None else options.timeout


def user() -> str:
    """Who sits here, as the operating system has it.

    Raises:
        BadInput: it has no name.
    """
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise BadInput("this machine has no name for you: say who you are with --by") from None
