"""`mesh logs`: the log lines of agent calls, found on every host of the mesh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.live import Live
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_line, print_rows, printable
from mesh.cli.running import connected, for_a_while, run
from mesh.protocols.errors import MeshError, Unavailable
from mesh.settings.folder import MeshFolder
from mesh.telemetry.log_lines import iso_time

if TYPE_CHECKING:
    from mesh.registry.listing import Listing
    from mesh.telemetry.report import Report

COLUMNS = {
    "time": "TIME",
    "process": "PROCESS",
    "agent": "AGENT",
    "command": "COMMAND",
    "job": "JOB",
    "step": "STEP",
    "tokens_in": "IN",
    "tokens_out": "OUT",
    "latency": "LATENCY S",
    "exit_status": "STATUS",
    "correlation": "CORRELATION",
}
MESSAGES = {"time": "TIME", "event": "EVENT", "level": "LEVEL", "process": "PROCESS", "message": "MESSAGE"}
CALLS = "agent.call"
NONE = "no such log line"
_TOLD = ("time", "event", "process", "level", "message", "host")


@shared_options
def logs(
    options: Options,
    job: Annotated[str, typer.Option(help="Only of this job.")] = "",
    agent: Annotated[str, typer.Option(help="Only of this agent.")] = "",
    correlation: Annotated[str, typer.Option(help="Only with this correlation id.")] = "",
    event: Annotated[str, typer.Option(help="Another kind of line; 'all' for every kind.")] = CALLS,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many lines.")] = 200,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="The lines to come instead, from every process.")
    ] = False,
) -> None:
    """Find the log lines of agent calls, oldest first: run, step, tokens, latency, status and correlation id.

    With -o json, one object a line. Without a mesh in reach, the logs of this folder alone. With -f the lines to come, live
    from every process of the mesh, until interrupted or --timeout.
    """
    if follow:
        wanted = {"job": job, "agent": agent, "correlation": correlation, "event": event}
        run(for_a_while(_follow(options, wanted), options.timeout))
        return
    query = {"job": job, "agent": agent, "correlation": correlation, "limit": limit}
    query["event"] = "" if event == "all" else event
    found = run(_everywhere(options, query))
    lines = sorted(found, key=lambda line: str(line.get("time", "")))[-limit:]
    if options.output is Format.JSON:
        for line in lines:
            print_line(line)
    elif options.output is Format.TABLE and event != CALLS:
        print_rows([{**line, "message": _said(line)} for line in lines], MESSAGES, options.output, empty=NONE)
    else:
        print_rows(lines, COLUMNS, options.output, empty=NONE)


async def _follow(options: Options, wanted: dict[str, str]) -> None:
    wanted = {name: value for name, value in wanted.items() if value and value != "all"}
    async with connected(options) as mesh:
        heard: Live[tuple[str, Report]] = Live()
        await mesh.telemetry(lambda process, report: heard.put((process, report)))
        note("listening")
        async for process, report in heard:
            _show(process, report, wanted, options.output)
            if heard.missed:
                note(f"{heard.missed} reports came faster than they could be printed")
                heard.missed = 0


def _show(process: str, report: Report, wanted: dict[str, str], output: Format) -> None:
    if report.dropped:
        note(f"{report.dropped} lines of {process} are lost: it told more than it could send")
    for told in report.events:
        line = {"time": iso_time(told.at), "event": told.event, "process": process, **told.fields}
        if any(line.get(name) != value for name, value in wanted.items()):
            continue
        line = {name: value for name, value in line.items() if value not in (None, "")}
        if output is Format.TABLE:
            typer.echo(printable(f"{line['time']}  {process}  {told.event}  {_said(line)}"))
        else:
            print_line(line)


def _said(line: dict[str, Any]) -> str:
    """What a line says beside when, what, and who: its message first, then its fields."""
    fields = {name: value for name, value in line.items() if name not in _TOLD and value not in (None, "")}
    return "  ".join(
        [
            *([str(line["message"])] if line.get("message") else []),
            *(f"{name}={value}" for name, value in fields.items()),
        ]
    )


async def _everywhere(options: Options, query: dict[str, Any]) -> list[dict[str, Any]]:
    """What every host finds; a host that does not answer is named on stderr."""
    try:
        async with connected(options) as mesh:
            hosts = mesh.directory.lookup("host.logs")
            asked = (mesh.ask(host, query, command="logs", timeout=options.timeout or 10.0) for host in hosts)
            answers = await asyncio.gather(*asked, return_exceptions=True)
    except Unavailable as error:
        if options.server or options.context:
            raise
        note(f"{error}; looking in this folder only")
        return await asyncio.to_thread(_here, query)
    return [line for host, answer in zip(hosts, answers, strict=True) for line in _answered(host, answer)]


def _answered(host: Listing, answer: list[dict[str, Any]] | BaseException) -> list[dict[str, Any]]:
    if isinstance(answer, MeshError):
        note(f"host {host.record.instance} does not tell: {answer}")
        return []
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _here(query: dict[str, Any]) -> list[dict[str, Any]]:
    from mesh.host.log_query import LogQuery, find_lines

    return find_lines(MeshFolder.working().logs, LogQuery(**query))
