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
    from mesh.client.mesh import Mesh
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

    With -o json, one object a line. Where no host tells, or none was reached, the logs of this folder alone; unless the server
    was named. With -f the lines to come, live from every process of the mesh, until interrupted or --timeout.
    """
    if follow:
        wanted = {"job": job, "agent": agent, "correlation": correlation, "event": event}
        run(_follow(options, wanted))
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
        await for_a_while(_print_live(heard, wanted, options.output), options.timeout)


async def _print_live(heard: Live[tuple[str, Report]], wanted: dict[str, str], output: Format) -> None:
    async for process, report in heard:
        _show(process, report, wanted, output)
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
    """What the hosts find, or where none tells, what is in this folder.

    Raises:
        Unavailable: none tells, and the server was named: what is in this folder may be of another mesh.
    """
    try:
        async with connected(options) as mesh:
            return await _of_hosts(mesh, query, options.timeout or 10.0)
    except Unavailable as error:
        if options.server or options.context:
            raise
        note(f"{error}; looking in this folder only")
        return await asyncio.to_thread(_here, query)


async def _of_hosts(mesh: Mesh, query: dict[str, Any], timeout: float) -> list[dict[str, Any]]:
    """What every host finds, in whatever state it is; one that does not answer is named on stderr.

    Raises:
        Unavailable: there is no host, or none answers.
    """
    hosts = mesh.directory.lookup("host.logs", state=None)
    if not hosts:
        raise Unavailable("there is no host to ask")
    asked = (mesh.ask(host, query, command="logs", timeout=timeout) for host in hosts)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for host, answer in zip(hosts, answers, strict=True):
        if isinstance(answer, MeshError):
            note(f"host {host.record.instance} does not tell: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
    told = [answer for answer in answers if not isinstance(answer, BaseException)]
    if not told:
        raise Unavailable("no host tells")
    return [line for lines in told for line in lines]


def _here(query: dict[str, Any]) -> list[dict[str, Any]]:
    from mesh.host.log_query import LogQuery, find_lines

    return find_lines(MeshFolder.working().logs, LogQuery(**query))
