"""`mesh job replay`: would the code that is here do what the journal says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.exits import BadInput, Exit
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_value, printable
from mesh.cli.running import connected, run

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.jobs.authoring.workflow import Workflow
    from mesh.jobs.replay.recordings import Recording
    from mesh.jobs.replay.replaying import Report


@shared_options
def replay(
    options: Options,
    job: Annotated[
        str, typer.Argument(metavar="[ID]", help="The job's id, or the beginning of it; with --file, all unless said.")
    ] = "",
    code: Annotated[
        str, typer.Option(metavar="PATH[:NAME]", help="The workflow (default: what the manifest here names).")
    ] = "",
    file: Annotated[
        str, typer.Option(metavar="FILE", help="A recording or an archive, in place of the mesh.", show_default=False)
    ] = "",
    save: Annotated[
        str, typer.Option(metavar="FILE", help="Also write the journal down as a recording.", show_default=False)
    ] = "",
) -> None:
    """Run a job's workflow against its journal, sending and storing nothing, and tell the first difference.

    Works on jobs that run, wait or have ended. Exit code 1: something is different.
    """
    if not job and not file:
        raise BadInput("which job? `mesh job replay ID`, or `--file` with a recording")
    reports = run(_from_file(Path(file), job, code) if file else _from_mesh(options, job, code, save))
    if options.output is Format.TABLE:
        for each in reports:
            _print(each)
    else:
        print_value([_plain(each) for each in reports] if file else _plain(reports[0]), options.output)
    if not all(each.ok for each in reports):
        raise typer.Exit(Exit.FAILED)


async def _from_mesh(options: Options, job: str, code: str, save: str) -> list[Report]:
    from mesh.jobs.replay.recordings import write_recording
    from mesh.jobs.replay.replaying import replay_state
    from mesh.protocols.job_state import fold

    async with connected(options) as mesh:
        records, fetched, fetch = await _read(mesh, job)
        state = fold(records)
        workflow = find_code(code, state.head.workflow if state.head else "", state.head.version if state.head else 0)
        report = await replay_state(state, workflow, fetch)
    if save:
        try:
            write_recording(Path(save), records, fetched)
        except OSError as error:
            raise BadInput(f"cannot write {save}: {error.strerror or error}") from None
        note(f"written to {save}")
    return [report]


async def _read(mesh: Mesh, job: str) -> tuple[Any, dict[str, bytes], Any]:
    """The job's entries, the objects fetched so far, and what fetches them."""
    from mesh.jobs.journals.journals import Journals

    peer = mesh.peer
    journals = Journals(peer.store, peer.subjects)
    found = await journals.find(job)
    objects = await peer.store.objects(peer.subjects.bucket("objects"))
    fetched: dict[str, bytes] = {}

    async def fetch(digest: str) -> bytes:
        if digest not in fetched:
            fetched[digest] = await objects.get(digest)
        return fetched[digest]

    return await journals.read(found.entry.tenant, found.entry.job), fetched, fetch


async def _from_file(path: Path, job: str, code: str) -> list[Report]:
    from mesh.jobs.replay.replaying import replay
    from mesh.protocols.job_state import fold

    recording = read_any(path)
    wanted = {name: records for name, records in recording.journals.items() if name.startswith(job)}
    if not wanted:
        raise BadInput(f"{path} has no job {job!r}; it has {', '.join(recording.journals)}")
    reports = []
    for records in wanted.values():
        head = fold(records).head
        if head is None:
            raise BadInput(f"{path} holds part of a journal only: its first entry is missing")
        reports.append(await replay(records, find_code(code, head.workflow, head.version), recording.fetch))
    return reports


def read_any(path: Path) -> Recording:
    """A recording, or a file of an archive.

    Raises:
        BadInput: it is neither.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    from mesh.jobs.replay.recordings import Recording, read_recording
    from mesh.protocols.errors import JournalCorrupt
    from mesh.upkeep.archive_lines import SUFFIX, read_lines

    if not path.name.endswith(tuple(SUFFIX.values())):
        return read_recording(path)
    recording = Recording()
    try:
        for line in read_lines(path):
            recording.add(line.job, line.sequence, line.time, line.entry.encode())
    except (OSError, EOFError, ValueError, JournalCorrupt) as error:
        raise BadInput(f"{path} cannot be read as an archive: {error}") from None
    return recording


def find_code(code: str, name: str, version: int) -> Workflow[Any]:
    """The workflow of that name and version: in `code`, or where the manifest in this folder says. Where `code` names a single
    one, that is taken, whatever its version.

    Raises:
        BadInput: there is none; the message says what there is. BadManifest.
    """
    from mesh.host.loading import CannotLoad, load
    from mesh.host.manifest import DEFAULT_FILE
    from mesh.host.manifest_reading import read_manifest

    folder = Path.cwd()
    uses = [code] if code else [each.use for each in read_manifest(folder / DEFAULT_FILE).workflows]
    found: list[Workflow[Any]] = []
    for use in uses:
        try:
            loaded = load(use, folder, "workflow")
        except CannotLoad as error:
            raise BadInput(str(error)) from None
        found += loaded if isinstance(loaded, list | tuple) else [loaded]
    exact = [each for each in found if (each.name, each.version) == (name, version)]
    if exact:
        return exact[0]
    if code and len(found) == 1 and found[0].name == name:
        return found[0]
    there = ", ".join(f"{each.name} version {each.version}" for each in found) or "no workflow"
    raise BadInput(f"the job is of {name} version {version}; {'that code' if code else 'the manifest'} has {there}")


def _plain(report: Report) -> dict[str, Any]:
    from mesh.cli.output import plain

    return {"ok": report.ok, **plain(report)}


def _print(report: Report) -> None:
    held = f", held at {', '.join(report.held)}" if report.held and report.ok else ""
    typer.echo(printable(f"{'✓' if report.ok else '✗'} {report}{held}"))
    if report.divergence is None:
        return
    typer.echo(printable(f"  journaled: {report.divergence.journaled}"))
    typer.echo(printable(f"  now:       {report.divergence.asked}"))
    for line in report.divergence.diff:
        typer.echo(printable(f"  {line}"))
