"""`mesh policy`: everything that operators have decided, and who decided what when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.deciding import common, entries, named, when
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import print_rows
from mesh.cli.past import until_now
from mesh.cli.running import connected, run, within
from mesh.protocols.policies import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.actors.events.events import Event

app = typer.Typer(help="Kill switches, flags, limits and shares: ls, history.", no_args_is_help=True)

COLUMNS = {"key": "KEY", "says": "SAYS", "by": "BY", "reason": "REASON", "since": "SINCE", "trouble": "TROUBLE"}
HISTORY = {"time": "TIME", "action": "ACTION", "key": "KEY", "by": "BY", "reason": "REASON", "revision": "REVISION"}


@app.callback()
def _group() -> None:
    """What operators have decided: switches (`mesh kill`), flags (`mesh flag`), limits (`mesh limit`), shares (`mesh tenant`)."""


@app.command("ls")
@shared_options
def list_policies(options: Options) -> None:
    """List every decision, of whatever kind, also those that cannot be read."""

    async def work() -> list[dict[str, Any]]:
        async with connected(options) as mesh:
            return [
                {"key": key, "says": named(entry), "trouble": trouble, **common(entry)}
                for key, entry, trouble in await entries(mesh)
            ]

    rows = run(work())
    if options.output is Format.TABLE:
        rows = [{**row, "key": readable(row["key"])} for row in rows]
    print_rows(rows, COLUMNS, options.output, empty="nothing was decided: everything is allowed")


@app.command("history")
@shared_options
def history(
    options: Options,
    since: Annotated[str, typer.Option(help="How far back, such as 10m, 2h, 7d.")] = "7d",
    key: Annotated[str, typer.Option(help="Only of keys that begin so, such as kill.agent.")] = "",
) -> None:
    """Who has decided what, oldest first; as long as events are kept (a week)."""
    from mesh.cli.events import seconds_of

    back = seconds_of(since)

    async def work() -> list[dict[str, Any]]:
        from mesh.actors.deciding import AUTHOR, EVENT

        async with connected(options) as mesh:
            found = until_now(mesh, EVENT, agent=AUTHOR, since=max(0.0, mesh.peer.clock.now() - back))
            return await within(_decisions(found), options.timeout, "reading what was decided")

    rows = [row for row in run(work()) if str(row.get("key", "")).startswith(key)]
    if options.output is Format.TABLE:
        rows = [{**row, "key": readable(str(row.get("key", "")))} for row in rows]
    print_rows(rows, HISTORY, options.output, empty=f"nothing{f' of {key}' if key else ''} was decided within {since}")


async def _decisions(found: AsyncIterator[Event]) -> list[dict[str, Any]]:
    return [
        {"time": when(event.time), "at": event.time, **event.payload}
        async for event in found
        if isinstance(event.payload, dict)
    ]
