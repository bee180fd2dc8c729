"""`mesh dlq`: what nobody could use. Look at it, hand it in again, or drop it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.payload import read_payload
from mesh.cli.running import connected, run
from mesh.cli.telling import user
from mesh.protocols.errors import MeshError, Refused

if TYPE_CHECKING:
    from mesh.jobs.outside.letters import Kept, Letters
    from mesh.protocols.dead_letters import Closed, DeadLetter

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
TOLD = {"id": "ID", "became": "BECAME", "by": "BY", "job": "JOB", "error": "ERROR", "message": "WHY"}

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
        try:
            content = _readable(await letters.data(kept.letter))
        except Refused as gone:
            note(gone.message)
            content = None
        return {**_whole(kept), "content": content}

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
    """Hand letters in again. Each runs once, however often it is redriven. One that cannot be keeps none of the others back."""
    given = read_payload(corrected) if corrected else None
    if given is not None and len(letters) > 1:
        raise typer.BadParameter("only one letter can be corrected at a time", param_hint="--input")

    data = None if given is None else bytes(given)

    async def redriven(found: Letters, letter: DeadLetter) -> Closed:
        return await found.redrive(letter, by or user(), corrected=data)

    tell(_seen_to(options, letters, redriven), options, "redriven")


@app.command("drop")
@shared_options
def drop(
    options: Options,
    letters: Annotated[list[str], typer.Argument(metavar="ID", help="The letters' ids.")],
    reason: Annotated[str, typer.Option(help="Why nothing needs to be done.")] = "",
    by: By = "",
) -> None:
    """Say that nothing needs to be done about letters. They are kept, and listed no more."""

    async def dropped(found: Letters, letter: DeadLetter) -> Closed:
        return await found.drop(letter, by or user(), reason)

    tell(_seen_to(options, letters, dropped), options, "dropped")


def _with_letters(options: Options, work: Callable[[Letters], Awaitable[Any]]) -> Any:
    async def connected_work() -> Any:
        from mesh.jobs.outside.letters import Letters

        async with connected(options) as mesh:
            return await work(Letters(mesh.peer))

    return run(connected_work())


def _seen_to(
    options: Options, names: list[str], see_to: Callable[[Letters, DeadLetter], Awaitable[Closed]]
) -> dict[str, Closed | MeshError]:
    """What became of each letter, by its id, or why nothing did. A name that fits none is refused before anything is done."""

    async def work(found: Letters) -> dict[str, Closed | MeshError]:
        chosen = [(await found.find(each)).letter for each in names]
        return {each.id: await _or_error(see_to(found, each)) for each in chosen}

    became: dict[str, Closed | MeshError] = _with_letters(options, work)
    return became


async def _or_error(seen_to: Awaitable[Closed]) -> Closed | MeshError:
    try:
        return await seen_to
    except MeshError as error:
        return error


def tell(became: Mapping[str, Closed | MeshError], options: Options, wanted: str) -> None:
    """Print what became of each letter, and why nothing did.

    Raises:
        MeshError: the first error among them; Refused where something else had become of the letter before.
    """
    rows = [_told(letter, each, wanted) for letter, each in became.items()]
    print_rows([row for row, _ in rows], TOLD, options.output)
    jobs = [row["job"] for row, _ in rows if row["job"]]
    if jobs:
        note(f"follow it with: mesh job result {jobs[0]}")
    for _, error in rows:
        if error is not None:
            raise error


def _told(letter: str, became: Closed | MeshError, wanted: str) -> tuple[dict[str, Any], MeshError | None]:
    """The letter's row, and the error in it."""
    row: dict[str, Any] = dict.fromkeys(TOLD)
    row["id"], error = letter, None
    if isinstance(became, MeshError):
        error = became
    else:
        row.update(became=became.how, by=became.by, job=became.job or None)
        if became.how != wanted:
            error = Refused(f"letter {letter} was {became.how} before, by {became.by}; it stays so")
    if error is not None:
        row.update(error=error.code, message=error.message)
    return row, error


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
