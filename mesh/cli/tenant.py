"""`mesh tenant`: remove everything of one tenant."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.archive import folder_here, retention_here
from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run

app = typer.Typer(help="Tenants: erase.", no_args_is_help=True)

COLUMNS = {"what": "REMOVED", "count": "COUNT"}
PATIENCE = 60.0


@app.callback()
def _group() -> None:
    """What belongs to one tenant: its jobs, letters, events, archives, and what only it names."""


@app.command("erase")
@shared_options
def erase(
    options: Options,
    tenant: Annotated[str, typer.Argument(metavar="TENANT")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the jobs that run first.")] = False,
    folder: Annotated[Path | None, typer.Option("--folder", metavar="DIR", help="Where archives are.")] = None,
) -> None:
    """Remove everything of a tenant, for good: ingress, journals, inboxes, timers, letters, events, effects, archives, objects.

    Refused while one of its jobs runs. Again: what is left. The state of agents stays, and so do backups.
    """
    from mesh.protocols.subjects import check_name

    _sure(check_name(tenant, "tenant"), yes)

    async def work() -> dict[str, Any]:
        from mesh.upkeep.erase import Erasing

        async with connected(options) as mesh:
            peer = mesh.peer
            place = folder_here(folder, retention_here(), options)
            erasing = Erasing(peer.store, peer.subjects, peer.clock, place, tenant)
            if cancel:
                await erasing.cancel(options.timeout or PATIENCE)
            return asdict(await erasing.run())

    done = run(work())
    if options.output is not Format.TABLE:
        print_value(done, options.output)
        return
    parts = {**done["messages"], **done["keys"], "objects": done["objects"], "archives": done["archives"]}
    rows = [{"what": what, "count": count} for what, count in parts.items() if count]
    print_rows(rows, COLUMNS, options.output, empty=f"nothing of tenant {tenant} is there")
    if done["left"]:
        note(
            f"{done['left']} objects were put less than two hours ago and are left: `mesh archive sweep` removes them later"
        )


def _sure(tenant: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(f"everything of tenant {tenant} would be removed: say --yes")
    if typer.prompt(f"Everything of tenant {tenant} is removed for good. Type its name", err=True) != tenant:
        raise BadInput("that was another name: nothing was removed")
