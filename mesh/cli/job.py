"""`mesh job`: look at jobs; what tells them something is in `telling`."""

from __future__ import annotations

import time
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from mesh.cli import telling
from mesh.cli.awaited import UntilAwaited, waits
from mesh.cli.exits import BadInput
from mesh.cli.job_fork import diff, fork
from mesh.cli.job_replay import replay
from mesh.cli.options import Format, Options, drawn_options, shared_options
from mesh.cli.output import note, print_line, print_rows, print_table, print_value, printable
from mesh.cli.running import connected, for_a_while, run
from mesh.cli.submit import WithDegraded, follow
from mesh.cli.timeline import draw_timeline
from mesh.jobs.outside.words import in_short

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.jobs.journals.journals import Journals
    from mesh.jobs.outside.handle import JobHandle
    from mesh.protocols.job_state import Recorded

app = typer.Typer(help="Look at jobs, and tell them something.", no_args_is_help=True)
for _verb in (*telling.VERBS, replay, fork, diff):
    app.command(_verb.__name__)(_verb)

COLUMNS = {
    "id": "ID",
    "workflow": "WORKFLOW",
    "version": "VERSION",
    "tenant": "TENANT",
    "state": "STATE",
    "owner": "OWNER",
    "submitted_at": "SUBMITTED",
}
STEPS = {"key": "STEP", "state": "STATE", "by": "BY", "attempt": "ATTEMPT", "seconds": "SECONDS", "why": "REMARK"}
BIDS = {
    "step": "STEP",
    "bidder": "BID BY",
    "price": "PRICE",
    "latency": "LATENCY",
    "expected": "EXPECTED",
    "score": "SCORE",
    "verdict": "VERDICT",
}

SHOWN = 160
"""Characters of a result that `show` prints."""

Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the beginning of it.")]


@app.command("ls")
@shared_options
def ls(
    options: Options,
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "*",
    state: Annotated[str, typer.Option(help="Only in this state, such as running.")] = "",
    workflow: Annotated[str, typer.Option(help="Only of this workflow.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the latest first.")] = None,
) -> None:
    """List jobs, the latest first."""
    _check_state(state)

    async def work() -> list[dict[str, Any]]:
        from mesh.jobs.outside.listing import list_jobs

        async with connected(options) as mesh:
            return await list_jobs(_journals(mesh), tenant=tenant, state=state, workflow=workflow, limit=limit)

    print_rows(run(work()), COLUMNS, options.output, empty="no jobs")


@app.command("show")
@drawn_options
def show(options: Options, job: Id) -> None:
    """Show everything about one job: its timeline, steps, awards with every bid, artifacts, usage.

    -o mermaid draws the timeline as a Gantt chart.
    """
    if options.mermaid:
        typer.echo(run(_gantt(options, job)), nl=False)
        return

    async def work() -> tuple[dict[str, Any], list[str]]:
        from mesh.client.waiting import why_waiting
        from mesh.jobs.journals.values import Values
        from mesh.jobs.outside.listing import show_job

        async with connected(options) as mesh:
            peer = mesh.peer
            values = Values(peer.store, peer.subjects, peer.clock)
            shown = await show_job(
                _journals(mesh), values, job, why_waiting=lambda head: why_waiting(mesh.directory, head)
            )
            told = options.output is Format.TABLE and shown["state"] in ("waiting", "paused", "parked", "running")
            return shown, list(waits(await (await telling.find(mesh, job)).state())) if told else []

    shown, awaited = run(work())
    if options.output is Format.TABLE:
        _print(shown, awaited)
    else:
        print_value(shown, options.output)


@app.command("events")
@shared_options
def events(
    options: Options,
    job: Id,
    following: Annotated[bool, typer.Option("-f", "--follow", help="Go on with the events to come.")] = False,
) -> None:
    """Print the job's journal, an event a line; with -f also those to come, until its end or --timeout."""

    async def work() -> None:
        async with connected(options) as mesh:
            handle = await telling.find(mesh, job)
            if following:
                await for_a_while(tell(handle), options.timeout)
                return
            for record in await _journals(mesh).read(handle.tenant, handle.id):
                _print_record(record, options.output)

    async def tell(handle: JobHandle) -> None:
        async with aclosing(handle.follow()) as records:
            async for record in records:
                _print_record(record, options.output)

    run(work())


@app.command("result")
@shared_options
def result(options: Options, job: Id, until_awaited: UntilAwaited = None, with_degraded: WithDegraded = False) -> None:
    """Wait for the job's end, at most --timeout seconds, and print its result."""

    async def work() -> Any:
        async with connected(options) as mesh:
            return await follow(await telling.find(mesh, job), options.timeout, until_awaited, with_degraded)

    print_value(run(work()), options.output)


async def _gantt(options: Options, job: str) -> str:
    from mesh.jobs.outside.timeline import gantt, spans
    from mesh.protocols.job_state import fold

    async with connected(options) as mesh:
        journals = _journals(mesh)
        found = await journals.find(job)
        records = await journals.read(found.entry.tenant, found.entry.job)
    state = fold(records)
    head = found.entry.head
    until = state.updated_at if state.terminal else time.time()
    return gantt(f"{head.workflow} version {head.version}, {state.status}, {state.job}", spans(records), until)


def _journals(mesh: Mesh) -> Journals:
    from mesh.jobs.journals.journals import Journals

    return Journals(mesh.peer.store, mesh.peer.subjects)


def _print_record(record: Recorded, output: Format) -> None:
    """Its events; where it is the tombstone, which is all that is left of an archived job, also where the rest is."""
    from mesh.jobs.outside.listing import event_rows
    from mesh.protocols.job_events import Archived

    for each in event_rows(record):
        _print_event(each, output)
    for event in record.entry.events:
        if isinstance(event, Archived):
            note(f"archived: {event.entries} entries are in {event.archive}: `mesh archive show {record.entry.job}`")


def _print_event(row: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        print_line(row)
        return
    import msgspec

    content = msgspec.json.encode(row["content"]).decode()
    short = content if len(content) <= 200 else content[:199] + "…"
    typer.echo(printable(f"{row['sequence']:>6}  {row['at']}  {row['epoch']}  {row['event']:<15}  {short}"))


def _check_state(state: str) -> None:
    from mesh.protocols.job_facts import JobStatus

    if state and state not in get_args(JobStatus):
        raise BadInput(f"no job is ever {state!r}: --state takes one of {', '.join(get_args(JobStatus))}")


def _print(shown: dict[str, Any], awaited: list[str]) -> None:
    for name in ("id", *(each for each in COLUMNS if each != "id"), "waiting_because"):
        if shown[name] is not None:
            typer.echo(printable(f"{name:>13}: {shown[name]}"))
    for each in awaited:
        typer.echo(printable(f"{'waits for':>13}: {each}"))
    _print_ending(shown)
    if shown.get("degraded"):
        typer.echo(printable(f"{'degraded':>13}: {in_short(shown['degraded'])}"))
    if shown.get("archived"):
        where = shown["archived"]
        typer.echo(
            printable(
                f"{'archived':>13}: {where['entries']} entries in {where['archive']}: mesh archive show {shown['id']}"
            )
        )
    if shown["forked_from"]:
        origin = shown["forked_from"]
        changes = f" ({'; '.join(origin['changes'])})" if origin.get("changes") else ""
        typer.echo(printable(f"{'fork of':>13}: {origin['job']} at {origin['at']}{changes}"))
    if shown["timeline"]:
        typer.echo("")
        for line in draw_timeline(shown["timeline"], until=_lasted(shown)):
            typer.echo(line)
    if shown["steps"]:
        typer.echo("")
        print_table([_step(each) for each in shown["steps"]], STEPS)
    for award in shown["awards"]:
        typer.echo(printable(f"\n{award['step']}: {award['capability']} ({award['mode']}): {award['reason']}"))
        print_table([_bid(award["step"], each) for each in award["bids"]], BIDS)
    typer.echo(printable(f"\nused: {_usage(shown['usage'])}"))


def _lasted(shown: dict[str, Any]) -> float:
    """Seconds since it was handed in, of a job that is not over; of another, what its timeline says is all."""
    from mesh.protocols.job_rules import TERMINAL

    if shown["state"] in TERMINAL:
        return 0.0
    return time.time() - datetime.fromisoformat(shown["submitted_at"]).timestamp()


def _print_ending(shown: dict[str, Any]) -> None:
    error = shown["error"]
    if error:
        typer.echo(printable(f"{'error':>13}: {error['code']}: {error['message']}"))
        left = error.get("detail", {}).get("not_undone")
        if left:
            typer.echo(printable(f"{'not undone':>13}: {', '.join(left)}"))
    elif shown["state"] == "completed":
        import msgspec

        content = msgspec.json.encode(shown["result"]).decode()
        more = f"…, all of it: mesh job result {shown['id']}"
        typer.echo(printable(f"{'result':>13}: {content if len(content) <= SHOWN else content[:SHOWN] + more}"))


def _usage(used: dict[str, Any]) -> str:
    told = {
        "tokens_in": "{:g} tokens in",
        "tokens_out": "{:g} tokens out",
        "money": "{:.4g} spent",
        "tool_calls": f"{{:g}} tool call{'s' * (used.get('tool_calls') != 1)}",
        "duration": "{:.3g} s of work",
    }
    return ", ".join(words.format(used[name]) for name, words in told.items() if used.get(name)) or "nothing"


def _step(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"]
    why = f"{error['code']}: {error['message']}" if error else row["degraded"]
    state = "skipped" if row["skipped"] else "degraded" if row["degraded"] else row["state"]
    return {**row, "state": state, "why": why}


def _bid(step: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": step,
        "bidder": f"{row['agent']}.{row['instance']}",
        "price": row["bid"]["price"],
        "latency": row["bid"]["latency"],
        "expected": row["expected"]["latency"],
        "score": row["score"]["total"] if row["score"] else None,
        "verdict": "won" if row["won"] else row["rejected_because"] or "outbid",
    }
