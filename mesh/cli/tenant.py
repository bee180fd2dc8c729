"""`mesh tenant`: what a tenant gets beside the others, and removing everything of one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.archive import folder_here, retention_here
from mesh.cli.deciding import By, decide, entries, listed, remark
from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run
from mesh.protocols.errors import Refused
from mesh.protocols.naming.names import check_name
from mesh.protocols.policies import EACH, TenantShare

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh

app = typer.Typer(help="Tenants: share, ls, erase.", no_args_is_help=True)

COLUMNS = {"what": "REMOVED", "count": "COUNT"}
SHARES = {
    "tenant": "TENANT",
    "weight": "WEIGHT",
    "at_once": "AT ONCE",
    "queue": "QUEUE",
    "by": "BY",
    "reason": "REASON",
    "since": "SINCE",
}
PATIENCE = 60.0


@app.callback()
def _group() -> None:
    """What belongs to one tenant: its jobs, letters, events, archives, and what only it names."""


@app.command("share")
@shared_options
def share(
    options: Options,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="'*' for every tenant that has no share of its own.")],
    weight: Annotated[float | None, typer.Option(help="Beside the others' weights (1 unless said).")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="How many run at once at most, in each queue.")] = None,
    queue: Annotated[int | None, typer.Option(min=1, help="How many wait at most, in each queue.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="It has no share of its own any more.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record.")] = "",
    by: By = "",
) -> None:
    """Say what a tenant gets where there is not enough for all; what is not said stays as it was."""
    if tenant != EACH:
        check_name(tenant, "tenant")
    given = {"weight": weight, "at_once": at_once, "queue": queue}
    said = {name: value for name, value in given.items() if value is not None}
    if bool(said) == unset:
        raise BadInput("say --weight, --at-once or --queue, or else --unset")
    if weight is not None and not 0 < weight <= 1000:
        raise BadInput(f"--weight {weight:g}: more than 0, at most 1000; for none at all there is `mesh kill tenant`")
    key = TenantShare(tenant=tenant).key

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        if not unset:
            found = [entry for at, entry, _ in await entries(mesh) if at == key and isinstance(entry, TenantShare)]
            before = found[0] if found else TenantShare(tenant=tenant)
            return await deciding.decide(key, msgspec.structs.replace(before, **said, reason=remark(reason), by=""))
        try:
            return await deciding.lift(key, remark(reason))
        except Refused:
            raise BadInput(f"tenant {tenant} has no share of its own") from None

    decide(options, by, work, f"the share of tenant {tenant} is {'gone' if unset else 'set'}")


@app.command("ls")
@shared_options
def list_shares(options: Options) -> None:
    """List the shares that were set; who is not in it has weight 1 and no bounds of its own."""

    def row(found: Any) -> dict[str, Any]:
        return {"tenant": found.tenant, "weight": found.weight, "at_once": found.at_once, "queue": found.queue}

    listed(options, TenantShare, row, SHARES, "every tenant has the same share")


@app.command("erase")
@shared_options
def erase(
    options: Options,
    tenant: Annotated[str, typer.Argument(metavar="TENANT")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="First end the jobs that are not over, and wait for them.")
    ] = False,
    folder: Annotated[Path | None, typer.Option("--folder", metavar="DIR", help="Where archives are.")] = None,
) -> None:
    """Remove everything of a tenant, for good: ingress, journals, inboxes, timers, letters, events, effects, archives, objects.

    Refused while one of its jobs runs. Again: what is left. The state of agents stays, a kill switch of the tenant, and backups.
    """
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
