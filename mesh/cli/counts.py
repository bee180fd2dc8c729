"""`mesh counts`: what each process has refused or dropped since its start, and how often: expired, overloaded, forged, …"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.exits import BadInput, Exit
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_rows
from mesh.cli.running import connected, run
from mesh.protocols.errors import MeshError
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

COLUMNS = {"process": "PROCESS", "what": "WHAT", "times": "TIMES"}


@shared_options
def counts(
    options: Options,
    process: Annotated[str, typer.Argument(help="Only this process.")] = "",
    what: Annotated[str, typer.Option(help="Only this: expired, overloaded, hedged, …")] = "",
) -> None:
    """List what processes have refused or dropped. `expired` is work whose caller had given up before it began.

    Exit code 1 if a process does not tell.
    """

    async def work() -> tuple[list[dict[str, Any]], bool]:
        async with connected(options) as mesh:
            there = [lease.process for lease in mesh.directory.processes()]
            if process and process not in there:
                raise BadInput(f"no process {process!r} is there; there are: {', '.join(sorted(there)) or 'none'}")
            asked = [process] if process else sorted(there)
            found = await asyncio.gather(*(_counts(mesh, each, options.timeout or 2.0) for each in asked))
            return [row for rows in found for row in rows or ()], None in found

    counted, silent = run(work())
    rows = [row for row in counted if what in ("", row["what"])]
    nothing = f"nothing was counted as {what}" if what else "nothing was refused or dropped"
    print_rows(rows, COLUMNS, options.output, empty=nothing + " by those that told" * silent)
    if silent:
        raise typer.Exit(Exit.FAILED)


async def _counts(mesh: Mesh, process: str, timeout: float) -> list[dict[str, Any]] | None:
    """What this process tells; None, and a line on stderr, if it does not."""
    peer = mesh.peer
    subject = peer.subjects.rpc(process, "peer", "peer", mesh.process)
    probe = peer.root.compose(peer.ids, "control", "probe", version=peer.tongue.version)
    try:
        answer = await peer.exchange.ask(subject, probe, deadline=Deadline.after(peer.clock, timeout))
    except MeshError as error:
        note(f"process {process} does not tell: {error}")
        return None
    told = msgspec.json.decode(answer.payload).get("counts", {})
    return [{"process": process, "what": each, "times": times} for each, times in sorted(told.items())]
