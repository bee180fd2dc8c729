"""What `mesh kill`, `allow`, `flag`, `limit` and `tenant share` have in common: who decides, since when, and in how many processes."""

from __future__ import annotations

import getpass
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run
from mesh.protocols.errors import TimedOut
from mesh.protocols.policies import BUCKET, Entry, Flag, Switch, Unreadable, Value, entry_in, switch_in

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh

Reason = Annotated[str, typer.Option("--reason", help="Why; whoever is refused is told, and it stays on record.")]
By = Annotated[str, typer.Option("--by", help="Who decides it (default: user@host).", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
UNASKED = "clients and gateways, which host nothing, are told as well but not asked: what they call is decided where it is hosted"
LONGEST_REASON = 500
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\Z")

Row = dict[str, Any]


def user() -> str:
    """Who sits here: `user@host`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        raise BadInput("nobody knows who you are on this machine: say --by NAME") from None
    return f"{name}@{socket.gethostname()}"


def decide(options: Options, by: str, work: Callable[[Mesh, Deciding], Awaitable[Decided]], what: str) -> None:
    """Do it, and say which processes confirm that it is in force: those that host something, for only these are known by name.
    Exit code 4 if one of them did not say so within `--timeout`."""

    async def whole() -> Decided:
        from mesh.actors.deciding import WITHIN, Deciding

        async with connected(options) as mesh:
            return await work(mesh, Deciding(mesh.peer, by or user(), options.timeout or WITHIN))

    report(run(whole()), options, what)


def report(decided: Decided, options: Options, what: str) -> None:
    """Say what came of it."""
    if options.output is not Format.TABLE:
        print_value(decided, options.output)
    else:
        count = len(decided.in_force)
        hosts = f"in {count} process{'es' * (count != 1)} that host{'s' * (count == 1)} something"
        where = f"{hosts} after {decided.seconds * 1000:.0f} ms" if count else ""
        typer.echo(f"{what}, in force {where or 'wherever a process starts: none that hosts something is there now'}")
        note(UNASKED)
    if decided.unrecorded:
        note(f"it holds, but could not be put on record: {decided.unrecorded}")
    if decided.silent:
        raise TimedOut(f"it is set, but not confirmed by {', '.join(decided.silent)}: `mesh registry ping` says more")


def confirm(question: str, yes: bool) -> None:
    """Ask before something far-reaching.

    Raises:
        BadInput: nobody said yes.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(f"{question}: say --yes")
    if not typer.confirm(question + "?", err=True):
        raise BadInput("nothing was changed")


def why(reason: str) -> str:
    """The reason, which must be there: whoever is refused is told.

    Raises:
        BadInput: there is none, or it is a novel.
    """
    said = remark(reason)
    if not said:
        raise BadInput("--reason: say why; whoever is refused is told")
    return said


def remark(reason: str) -> str:
    """A reason that may be empty, fit to stand in a refusal and in a table.

    Raises:
        BadInput: it is a novel.
    """
    said = " ".join(reason.split())
    if len(said) > LONGEST_REASON:
        raise BadInput(f"--reason has {len(said)} characters: say it in {LONGEST_REASON}, it stands in every refusal")
    return said


def end_of(until: str | None, span: str | None) -> float | None:
    """The end that `--until` or `--for` names, in Unix seconds.

    Raises:
        BadInput: both, a time that is over, no time at all, or something else.
    """
    from datetime import datetime, timedelta

    from mesh.cli.events import seconds_of

    if until and span:
        raise BadInput("--until or --for, not both")
    now = datetime.now().astimezone()
    if span:
        seconds = seconds_of(span)
        if not seconds:
            raise BadInput(f"--for {span}: that is no time at all; leave --for out for no end")
        try:
            return (now + timedelta(seconds=seconds)).timestamp()
        except OverflowError:
            raise BadInput(f"--for {span}: no calendar goes that far; leave --for out for no end") from None
    if not until:
        return None
    if match := _CLOCK.match(until):
        try:
            at = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        except ValueError:
            raise BadInput(f"--until {until}: that is no time of the day") from None
        return (at if at > now else at + timedelta(days=1)).timestamp()
    try:
        at = datetime.fromisoformat(until).astimezone()
    except ValueError:
        raise BadInput(f"--until {until!r}: write 18:30, or 2026-11-20T18:30, or use --for 10m") from None
    if at <= now:
        raise BadInput(f"--until {until}: that is over")
    return at.timestamp()


def when(at: float | None) -> str:
    """A time for people."""
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds") if at else ""


async def entries(mesh: Mesh) -> list[tuple[str, Entry, str]]:
    """Every decision with its key, as it is stored, and what is wrong with it, if anything."""
    from mesh.policy.policy import open_policies

    found: list[tuple[str, Entry, str]] = []
    for each in await (await open_policies(mesh.peer.store, mesh.peer.subjects)).all():
        try:
            found.append((each.key, entry_in(each.key, each.value or b""), ""))
        except Unreadable as error:
            switch = switch_in(each.key, "")
            found.append((each.key, switch or Entry(), f"cannot be read: {error}" + ("; it holds" if switch else "")))
    return sorted(found, key=lambda each: each[0])


def listed(options: Options, kind: type[Entry], row: Callable[[Any], Row], columns: dict[str, str], empty: str) -> None:
    """Print all decisions of one kind; those that nobody can read are told on stderr."""

    async def work() -> list[tuple[str, Entry, str]]:
        async with connected(options) as mesh:
            return await entries(mesh)

    found = run(work())
    rows = [{**row(entry), **common(entry)} for _, entry, _ in found if isinstance(entry, kind)]
    print_rows(rows, columns, options.output, empty=empty)
    for key, _, trouble in found:
        if trouble:
            note(f"{key} in the bucket {BUCKET} {trouble}")


def common(entry: Entry) -> Row:
    """What every decision has."""
    return {"by": entry.by, "reason": entry.reason, "at": entry.at, "since": when(entry.at)}


def switch_row(switch: Switch) -> Row:
    """A switch as it is listed."""
    return {"what": switch.what, "name": switch.name, "until": when(switch.until), "now": switch.now}


def named(entry: Entry) -> str:
    """A decision in words."""
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    if isinstance(entry, Flag):
        fields = {
            "name": entry.name,
            "value": valued(entry.value),
            **{k: v for k, v in fields.items() if k not in ("name", "value")},
        }
    if "until" in fields:
        fields["until"] = when(fields["until"])
    return " ".join(f"{key}={value}" for key, value in fields.items() if key not in ("by", "reason", "at"))


def valued(value: Value) -> str:
    """A flag's value such that the text "true" is told from the value true."""
    return msgspec.json.encode(value).decode()
