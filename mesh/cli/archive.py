"""`mesh archive`: ended jobs leave the journal for files, and what nobody names leaves the object store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_line, print_rows, print_value, printable
from mesh.cli.running import connected, run

if TYPE_CHECKING:
    from mesh.upkeep.archive_folder import ArchiveFolder
    from mesh.upkeep.policy import Retention

app = typer.Typer(help="Archives of ended jobs: run, ls, show, sweep.", no_args_is_help=True)

COLUMNS = {
    "id": "ID",
    "workflow": "WORKFLOW",
    "tenant": "TENANT",
    "state": "STATE",
    "ended_at": "ENDED",
    "entries": "ENTRIES",
    "archive": "ARCHIVE",
}
DUE = {"id": "ID", "workflow": "WORKFLOW", "tenant": "TENANT", "state": "STATE", "ended_at": "ENDED"}
OBJECTS = {"digest": "OBJECT", "bytes": "BYTES", "put_at": "PUT"}

Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Where archives are (else as the manifest says: .mesh/archive)."),
]


@app.callback()
def _group() -> None:
    """Archives: copied and read back, then a tombstone in the journal, then the rest of it purged."""


@app.command("run")
@shared_options
def run_archive(
    options: Options,
    folder: Folder = None,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Jobs that ended so long ago (else as the manifest says)."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "*",
    form: Annotated[str, typer.Option("--format", help="jsonl, or parquet with the extra 'archive'.")] = "",
    horizon: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="DAYS", help="How long a repeated key is told the old outcome (30)."),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only list what would be archived.")] = False,
) -> None:
    """Archive the jobs that ended long enough ago, and finish what an earlier run has begun. Again: what became due since."""
    said: dict[str, Any] = {
        "format": form or None,
        "horizon": horizon,
        "days": older_than,
        "tenants": None if older_than is None else {},
    }
    retention = retention_here(**said)
    if retention.days is None and not retention.tenants:
        raise BadInput("how old must a job be? --older-than DAYS, or in the manifest: [retention] days = 30")

    async def work() -> dict[str, Any]:
        from mesh.upkeep.archiving import Archiving

        async with connected(options) as mesh:
            peer = mesh.peer
            place = folder_here(folder, retention, options)
            archiving = Archiving(peer.store, peer.subjects, peer.clock, peer.ids, place, retention)
            if dry:
                return {"due": [_due_row(each) for each in await archiving.due(tenant)]}
            return {"folder": str(place.path), **_plain(await archiving.run(tenant))}

    done = run(work())
    if dry:
        print_rows(done["due"], DUE, options.output, empty="nothing is due")
        return
    if options.output is not Format.TABLE:
        print_value(done, options.output)
    note(
        f"archived {done['archived']} jobs into {done['folder']}" + "".join(f"\n  {each}" for each in done["archives"])
    )
    note(
        f"finished {done['finished']} of an earlier run, removed {done['outlived']} tombstones and {done['ingress']} "
        "messages that were taken in"
    )
    for each in done["unreadable"]:
        note(f"job {each} was left: its journal has a message that is no entry")


@app.command("ls")
@shared_options
def ls(
    options: Options,
    folder: Folder = None,
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "*",
) -> None:
    """List the jobs that are archived here, the latest first. Needs no server."""
    place = folder_here(folder, retention_here(), options)
    rows = [_archived_row(index.archive, each) for index in place.indexes(tenant) for each in index.jobs]
    rows.sort(key=lambda row: str(row["ended_at"]), reverse=True)
    print_rows(rows, COLUMNS, options.output, empty=f"no job is archived in {place.path}")


@app.command("show")
@shared_options
def show(
    options: Options,
    job: Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the beginning of it.")],
    folder: Folder = None,
) -> None:
    """Print the journal of an archived job, an event a line. Needs no server."""
    from mesh.jobs.outside.listing import event_rows
    from mesh.protocols.job_events import decode_entry
    from mesh.protocols.job_state import Recorded

    place = folder_here(folder, retention_here(), options)
    index, found = place.find(job)
    if options.output is Format.TABLE:
        note(f"job {found.id} of {found.tenant}: {found.workflow}, {found.state}, in {place.path / index.archive}")
    for line in place.entries(index, found.id):
        for row in event_rows(Recorded(decode_entry(line.entry.encode()), line.sequence, line.time)):
            if options.output is Format.TABLE:
                typer.echo(printable(f"{row['sequence']:>6}  {row['at']}  {row['epoch']}  {row['event']}"))
            else:
                print_line(row)


@app.command("sweep")
@shared_options
def sweep(
    options: Options,
    folder: Folder = None,
    grace: Annotated[
        float, typer.Option(min=2, metavar="HOURS", help="Leave what was put less than so many hours ago.")
    ] = 24.0,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove the objects that nothing names: no journal, live or archived, no message, no state of an agent."""

    async def work() -> list[dict[str, Any]]:
        from mesh.jobs.outside.listing import iso
        from mesh.upkeep.sweep import sweep_objects

        async with connected(options) as mesh:
            peer = mesh.peer
            gone = await sweep_objects(
                peer.store,
                peer.subjects,
                peer.clock,
                folder_here(folder, retention_here(), options),
                grace=grace * 3600,
                dry=dry,
            )
        return [{"digest": each.digest, "bytes": each.size, "put_at": iso(each.time)} for each in gone]

    rows = run(work())
    print_rows(rows, OBJECTS, options.output, empty="every object is named, or was just put")
    note(f"{len(rows)} objects {'would be' if dry else 'were'} removed, {sum(each['bytes'] for each in rows)} bytes")


def retention_here(**said: Any) -> Retention:
    """The policy of the manifest here, with what the options say instead; its folder as it is seen from here."""
    import msgspec

    from mesh.host.manifest import DEFAULT_FILE
    from mesh.host.manifest_reading import read_manifest
    from mesh.settings.folder import MeshFolder
    from mesh.upkeep.policy import Retention

    path = Path(DEFAULT_FILE)
    there, base = Retention(), MeshFolder.working().path.parent
    if path.exists():
        manifest = read_manifest(path)
        there, base = manifest.retention, manifest.folder
    given = {name: value for name, value in said.items() if value is not None}
    place = {"folder": str(base / Path(there.folder).expanduser())}
    try:
        return msgspec.convert({**msgspec.structs.asdict(there), **place, **given}, Retention)
    except msgspec.ValidationError as error:
        raise BadInput(f"--format is jsonl or parquet, days are numbers: {error}") from None


def folder_here(given: Path | None, retention: Retention, options: Options) -> ArchiveFolder:
    """The folder that was named, or the one that the policy names; each namespace has one of its own in it."""
    from mesh.host.mesh_table import mesh_table
    from mesh.protocols.naming.names import check_name
    from mesh.upkeep.archive_folder import ArchiveFolder

    namespace = options.namespace or mesh_table(Path.cwd()).namespace
    return ArchiveFolder((Path(retention.folder) if given is None else given) / check_name(namespace, "namespace"))


def _due_row(head: Any) -> dict[str, Any]:
    from mesh.jobs.outside.listing import iso

    entry = head.entry
    return {
        "id": entry.job,
        "workflow": entry.head.workflow,
        "tenant": entry.tenant,
        "state": entry.head.state,
        "ended_at": iso(head.time),
    }


def _archived_row(archive: str, job: Any) -> dict[str, Any]:
    from mesh.jobs.outside.listing import iso

    return {
        "id": job.id,
        "workflow": job.workflow,
        "tenant": job.tenant,
        "state": job.state,
        "ended_at": iso(job.ended),
        "entries": job.entries,
        "archive": archive,
        "key": job.key or None,
    }


def _plain(report: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report)
