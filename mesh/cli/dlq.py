"""`mesh dlq`: what nobody could use. Look at it, hand it in again, or drop it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.payload import read_payload
from mesh.cli.running import connected, run
from mesh.cli.telling import user
from mesh.protocols.errors import Refused

if TYPE_CHECKING:
    from mesh.jobs.outside.letters import Kept, Letters
    from mesh.protocols.dead_letters import Closed

app = typer.Typer(help="Dead letters: ls, show, redrive, drop.", no_args_is_help=True)

COLUMNS = {
    "id": "ID",
    "stage": "STAGE",
    "tenant": "TENANT",
    "about": "ABOUT",
    "error": "ERROR",
    "message": "WHY",
    "at": "SINCE",
    "became": "BECAME",
}

Id = Annotated[str, typer.Argument(metavar="ID", help="The letter's id, its beginning or end, or its job's id.")]
By = Annotated[str, typer.Option("--by", help="Who decides this; without it, you as this machine knows you.")]


@app.callback()
def _group() -> None:
    """Dead letters: messages, jobs and events that were tried as often as they may be, with everything known of them."""


@app.command("ls")
@shared_options
def list_letters(
    options: Options,
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    closed: Annotated[bool, typer.Option("--all", help="Those that were seen to, too.")] = False,
) -> None:
    """List the letters that somebody should see to, the oldest first."""

    async def work(letters: Letters) -> list[Kept]:
        return await letters.all(tenant)

    found = [each for each in _with_letters(options, work) if closed or each.closed is None]
    print_rows([_row(each) for each in found], COLUMNS, options.output, empty="no dead letters")


@app.command("show")
@shared_options
def show(options: Options, letter: Id) -> None:
    """Show one letter whole: what it held, why it was given up, where it stood, and what became of it."""

    async def work(letters: Letters) -> dict[str, Any]:
        kept = await letters.find(letter)
        return {**_whole(kept), "content": _readable(await letters.data(kept.letter))}

    print_value(_with_letters(options, work), options.output)


@app.command("redrive")
@shared_options
def redrive(
    options: Options,
    letters: Annotated[list[str], typer.Argument(metavar="ID", help="The letters' ids.")],
    corrected: Annotated[
        str, typer.Option("--input", metavar="JSON", help="Hand this in in its place: JSON, @FILE, or - for stdin.")
    ] = "",
    by: By = "",
) -> None:
    """Hand letters in again. Each runs once, however often it is redriven."""
    given = read_payload(corrected) if corrected else None
    if given is not None and len(letters) > 1:
        raise typer.BadParameter("only one letter can be corrected at a time", param_hint="--input")

    async def work(found: Letters) -> list[Closed]:
        chosen = [(await found.find(each)).letter for each in letters]
        data = None if given is None else bytes(given)
        return [await found.redrive(each, by or user(), corrected=data) for each in chosen]

    tell(_with_letters(options, work), options, "redriven")


@app.command("drop")
@shared_options
def drop(
    options: Options,
    letters: Annotated[list[str], typer.Argument(metavar="ID", help="The letters' ids.")],
    reason: Annotated[str, typer.Option(help="Why nothing needs to be done.")] = "",
    by: By = "",
) -> None:
    """Say that nothing needs to be done about letters. They are kept, and listed no more."""

    async def work(found: Letters) -> list[Closed]:
        chosen = [(await found.find(each)).letter for each in letters]
        return [await found.drop(each, by or user(), reason) for each in chosen]

    tell(_with_letters(options, work), options, "dropped")


def _with_letters(options: Options, work: Callable[[Letters], Awaitable[Any]]) -> Any:
    async def connected_work() -> Any:
        from mesh.jobs.outside.letters import Letters

        async with connected(options) as mesh:
            return await work(Letters(mesh.peer))

    return run(connected_work())


def tell(closed: list[Closed], options: Options, wanted: str) -> None:
    """Print what became of letters.

    Raises:
        Refused: something else had become of one before.
    """
    print_rows(
        [{"id": each.letter, "became": each.how, "by": each.by, "job": each.job or None} for each in closed],
        {"id": "ID", "became": "BECAME", "by": "BY", "job": "JOB"},
        options.output,
    )
    jobs = [each.job for each in closed if each.job]
    if jobs:
        note(f"follow it with: mesh job result {jobs[0]}")
    for each in closed:
        if each.how != wanted:
            raise Refused(f"letter {each.letter} was {each.how} before, by {each.by}; it stays so")


def _row(kept: Kept) -> dict[str, Any]:
    from mesh.jobs.outside.listing import iso

    letter = kept.letter
    event = f"{letter.agent}.{letter.handler}" if letter.agent else ""
    return {
        "id": letter.id,
        "stage": letter.stage,
        "tenant": letter.tenant,
        "about": event or letter.workflow or (letter.source.subject if letter.source else None),
        "job": letter.job or None,
        "error": letter.reason.code,
        "message": letter.reason.message,
        "at": iso(kept.at),
        "became": f"{kept.closed.how} by {kept.closed.by}" if kept.closed else None,
    }


def _whole(kept: Kept) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(kept.letter)
    for left_out in ("payload", "encoding"):
        plain.pop(left_out, None)
    return {**_row(kept), **plain, "closed": msgspec.to_builtins(kept.closed) if kept.closed else None}


def _readable(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return data.decode(errors="backslashreplace")
