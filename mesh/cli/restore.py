"""`mesh restore`: a mesh again as a backup has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_value
from mesh.cli.running import connected, run

COLUMNS = {"stream": "RESTORED", "messages": "MESSAGES", "last": "LAST SEQUENCE"}


@shared_options
def restore(
    options: Options,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `mesh backup` wrote.")],
    replacing: Annotated[bool, typer.Option("--replace", help="Remove what is there first.")] = False,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=5, help="How many servers of the cluster keep each stream (as saved).")
    ] = None,
) -> None:
    """Put a namespace back as `mesh backup` saved it, into an empty one; no host of it may be running.

    What was done after the backup is done again, effects that are not idempotent included.
    """

    async def work() -> dict[str, Any]:
        from mesh.upkeep.backup_folder import BackupFolder
        from mesh.upkeep.restore import put_back

        backup = BackupFolder(folder)
        namespace = backup.summary().namespace
        if options.namespace not in (None, namespace):
            raise BadInput(f"{folder} is a backup of namespace {namespace}: leave --namespace {options.namespace} out")
        async with connected(replace(options, namespace=namespace)) as mesh:
            peer = mesh.peer
            await peer.policy.stop()  # whoever watches a bucket makes it anew when it is removed
            summary = await put_back(
                peer.store,
                peer.subjects,
                peer.ids,
                backup,
                replace=replacing,
                replicas=replicas,
                running=[lease.process for lease in mesh.directory.processes()],
                told=lambda saved: note(f"restored {saved.name}"),
            )
        rows = [{"stream": each.name, "messages": each.messages, "last": each.reached} for each in summary.streams]
        return {"folder": str(folder), "namespace": namespace, "streams": rows}

    done = run(work())
    if options.output is Format.TABLE:
        print_rows(done["streams"], COLUMNS, options.output)
        note(f"namespace {done['namespace']} is restored; start its hosts (`mesh up`), and unfinished jobs go on")
    else:
        print_value(done, options.output)
