"""`mesh backup`: everything of a mesh that is on disk, into a folder, while the mesh goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run

COLUMNS = {"stream": "SAVED", "messages": "MESSAGES", "bytes": "BYTES"}


@shared_options
def backup(
    options: Options,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
) -> None:
    """Save every stream, bucket and object of a namespace that is on disk: journals, ingress, inboxes, timers, letters, events.

    Everything that was acknowledged before is in it; the mesh goes on meanwhile. Archives are files already: keep them yourself.
    """

    async def work() -> dict[str, Any]:
        from mesh.upkeep.backup import back_up

        async with connected(options) as mesh:
            peer = mesh.peer
            summary = await back_up(
                peer.store, peer.subjects, peer.clock, folder, told=lambda saved: note(f"saved {saved.name}")
            )
        rows = [{"stream": each.name, "messages": each.messages, "bytes": each.size} for each in summary.streams]
        return {
            "folder": str(folder),
            "namespace": summary.namespace,
            "server": summary.server_version,
            "streams": rows,
        }

    done = run(work())
    if options.output is Format.TABLE:
        print_rows(done["streams"], COLUMNS, options.output)
        note(f"namespace {done['namespace']} is saved in {folder}; `mesh restore {folder}` puts it back")
    else:
        print_value(done, options.output)
