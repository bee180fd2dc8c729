"""`mesh breaker`: which process refuses which target, and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_rows
from mesh.cli.running import connected, run
from mesh.protocols.errors import MeshError
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

app = typer.Typer(help="Circuit breakers: ls.", no_args_is_help=True)

COLUMNS = {
    "process": "HELD BY",
    "target": "TARGET",
    "capability": "CAPABILITY",
    "state": "STATE",
    "calls": "CALLS",
    "failed": "FAILED",
    "slow": "SLOW",
    "retry_in": "RETRY IN S",
    "reason": "REASON",
}


@app.callback()
def _group() -> None:
    """Circuit breakers: each process keeps its own, one for each target and capability."""


@app.command("ls")
@shared_options
def list_breakers(
    options: Options,
    tripped: Annotated[bool, typer.Option("--tripped", help="Only those that are not closed.")] = False,
) -> None:
    """List the breakers of every process; one that does not answer is named on stderr."""

    async def work() -> list[dict[str, Any]]:
        async with connected(options) as mesh:
            processes = [lease.process for lease in mesh.directory.processes()]
            wait = options.timeout or 2.0
            return [
                row for rows in await asyncio.gather(*(_rows(mesh, each, wait) for each in processes)) for row in rows
            ]

    found = [row for row in run(work()) if not tripped or row["state"] != "closed"]
    found.sort(key=lambda row: (row["state"] == "closed", row["process"], row["target"]))
    print_rows(
        found, COLUMNS, options.output, empty="no breaker was needed yet" if not tripped else "no breaker is open"
    )


async def _rows(mesh: Mesh, process: str, timeout: float) -> list[dict[str, Any]]:
    peer = mesh.peer
    subject = peer.subjects.rpc(process, "peer", "peer", mesh.process)
    deadline = Deadline.after(peer.clock, timeout)
    question = peer.root.compose(peer.ids, "control", "breakers", version=peer.tongue.version)
    try:
        answer = await peer.exchange.ask(subject, question, deadline=deadline)
    except MeshError as error:
        note(f"process {process} does not tell: {error}")
        return []
    return [{"process": process, **row} for row in msgspec.json.decode(answer.payload)]
