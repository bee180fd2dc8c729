"""`mesh submit`: publish a job, follow it, print what comes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import msgspec
import typer

from mesh.cli.awaited import UntilAwaited, at_the_end, awaited, awaits_somebody, ends_when_awaited
from mesh.cli.exits import Awaited, BadInput, JobFailed
from mesh.cli.interrupted import interrupted
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import print_value
from mesh.cli.running import connected, run
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import BadPayload, TimedOut, UnknownJob, from_fault
from mesh.protocols.submission import job_id_for_key, not_known, parse_budget, parse_labels, read_input

if TYPE_CHECKING:
    from mesh.jobs.outside.handle import JobHandle
    from mesh.protocols.job_state import JobState

WithDegraded = Annotated[
    bool,
    typer.Option(
        "--with-degraded", help="Print {result, degraded}: with it, by step, why one gave less than asked for."
    ),
]


@shared_options
def submit(
    options: Options,
    workflow: Annotated[str, typer.Argument(help="Which workflow, such as code-review.")],
    given: Annotated[
        str, typer.Argument(metavar="[INPUT|-|@FILE]", help="Its input as JSON, from stdin (-), or from a file.")
    ] = "null",
    key: Annotated[str, typer.Option(help="Your own key: the same key is the same job.")] = "",
    tenant: Annotated[str, typer.Option(help="On whose account.")] = "default",
    deadline: Annotated[float | None, typer.Option(min=0.001, help="Seconds until nobody needs it any more.")] = None,
    budget: Annotated[str, typer.Option(help="Money, or a list such as money=0.5,tokens=20000.")] = "",
    boundary: Annotated[str, typer.Option(help="The data boundary it must stay in.")] = "",
    priority: Annotated[int, typer.Option(min=0, max=3, help="0 is the most urgent.")] = 2,
    label: Annotated[list[str] | None, typer.Option(help="A label that every agent must have: name=value.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    until_awaited: UntilAwaited = None,
    with_degraded: WithDegraded = False,
) -> None:
    """Publish a job of WORKFLOW and follow it; its result is printed on stdout.

    --timeout ends the watching, --deadline the job.
    """
    data = read_argument(given)
    try:
        constraints = Constraints(
            budget=parse_budget(budget) if budget else Constraints().budget,
            boundary=boundary,
            priority=priority,
            labels=parse_labels(",".join(label or ())),
        )
    except BadPayload as error:
        raise BadInput(str(error)) from None
    known_by = key or uuid4().hex

    async def work() -> tuple[JobHandle, Any]:
        async with connected(options) as mesh:
            with interrupted(not_known(job_id_for_key(tenant, known_by), known_by)):
                handle = await mesh.submit(
                    workflow, data, key=known_by, tenant=tenant, deadline=deadline, constraints=constraints
                )
            return handle, await follow(handle, options.timeout, until_awaited, with_degraded) if wait else None

    handle, result = run(work())
    if wait:
        print_value(result, options.output)
    elif options.output is Format.TABLE:
        typer.echo(handle.id)
    else:
        print_value({"job": handle.id, "duplicate": handle.duplicate}, options.output)


async def follow(
    handle: JobHandle, timeout: float | None, until_awaited: bool | None = False, with_degraded: bool = False
) -> Any:
    """Show the job's progress until it ends; its result, or with the steps that gave less than was asked for beside it, which
    are None where nobody knows them any more: the job is archived.

    Raises:
        TimedOut: it goes on. Awaited: somebody must say something, and that is what was asked to end at. JobFailed: with what.
    """
    ends = ends_when_awaited(until_awaited)
    with interrupted(f"job {handle.id} goes on: `mesh job result {handle.id}` waits for it", TimedOut):
        state = await _watched(handle, timeout, ends)
    if ends and awaits_somebody(state):
        raise Awaited(awaited(state))
    if state.fault is not None:
        raise JobFailed(from_fault(state.fault))
    result = await handle.outcome(state)
    if not with_degraded:
        return result
    return {"result": result, "degraded": state.degraded if state.archived is None else None}


async def _watched(handle: JobHandle, timeout: float | None, ends: bool) -> JobState:
    from mesh.cli.progress import JobProgress

    with JobProgress() as progress:
        if ends:
            return await handle.watch(progress.tell, timeout=timeout, until=at_the_end(await _now(handle)))
        return await handle.watch(progress.tell, timeout=timeout)


async def _now(handle: JobHandle) -> JobState | None:
    try:
        return await handle.state()
    except UnknownJob:
        return None


def read_argument(given: str) -> Any:
    """The JSON of an argument: itself, `-` for stdin, `@file` for a file.

    Raises:
        BadInput: it is not JSON, or the file cannot be read.
    """
    try:
        if given == "-":
            data = sys.stdin.buffer.read()
        else:
            data = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode()
        return msgspec.json.decode(read_input(data.strip()))
    except OSError as error:
        raise BadInput(f"cannot read {given[1:]}: {error.strerror or error}") from None
    except BadPayload as error:
        raise BadInput(f'{error.message}; write it as JSON, such as \'{{"text": "hello"}}\'') from None
