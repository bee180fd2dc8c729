"""`mesh events`: what happened, and what happens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.exits import BadInput
from mesh.cli.live import Live
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_line, printable
from mesh.cli.past import until_now
from mesh.cli.running import connected, for_a_while, run, within
from mesh.clock import SystemClock
from mesh.protocols.errors import BadEnvelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.actors.events.events import Event

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)\Z")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@shared_options
def events(
    options: Options,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with the events to come.")] = False,
    agent: Annotated[str, typer.Option(help="Only of this agent.")] = "*",
    event_type: Annotated[str, typer.Option("--type", help="A type, or a pattern such as 'review.*' or '>'.")] = ">",
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "*",
    since: Annotated[str | None, typer.Option(help="How far back, such as 30s, 10m, 2h, 1d (without -f: 1h).")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="As they are heard, unstored ones too; none from before.")
    ] = False,
) -> None:
    """Print stored events, one a line; with -f also those to come, until interrupted or --timeout."""
    if live and since:
        raise BadInput("--live hears events as they happen; for those from before leave it out")
    back = seconds_of(since) if since else (None if follow else 3600.0)

    async def work() -> None:
        async with connected(options) as mesh:
            if live:
                heard: Live[Event] = Live()
                await mesh.subscribe(heard.put, event_type, agent=agent, tenant=tenant)
                note("listening")
                await for_a_while(_print_live(heard, options.output), options.timeout)
                return
            start = None if back is None else max(0.0, SystemClock().now() - back)
            if follow:
                await mesh.peer.events.ensure()
                found = mesh.events(event_type, agent=agent, tenant=tenant, since=start)
                await for_a_while(_print_all(found, options.output), options.timeout)
            else:
                found = until_now(mesh, event_type, agent=agent, tenant=tenant, since=start or 0.0)
                await within(_print_all(found, options.output), options.timeout, "reading the events")

    run(work())


async def _print_all(found: AsyncIterator[Event], output: Format) -> None:
    async for event in found:
        _print(event, output)


async def _print_live(heard: Live[Event], output: Format) -> None:
    """Without end: what comes while the terminal is behind is counted and told."""
    async for event in heard:
        try:
            _print(event, output)
        except BadEnvelope as error:
            note(f"{event.type} of {event.agent}: {error}")
        if heard.missed:
            note(f"{heard.missed} events came faster than they could be printed")
            heard.missed = 0


def seconds_of(span: str) -> float:
    """`90`, `30s`, `10m`, `2h` or `1d` in seconds.

    Raises:
        BadInput: something else.
    """
    match = _SPAN.match(span.strip())
    if match is None:
        raise BadInput(f"{span!r} is not a time span: write 30s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


def _print(event: Event, output: Format) -> None:
    if output is Format.TABLE:
        payload = msgspec.json.encode(event.payload).decode()
        time = _time(event.time or SystemClock().now())
        typer.echo(printable(f"{time}  {event.tenant}  {event.agent}  {event.type}  {payload}"))
    else:
        print_line(_row(event))


def _row(event: Event) -> dict[str, Any]:
    envelope = event.envelope
    return {
        "sequence": event.sequence,
        "time": event.time,
        "tenant": event.tenant,
        "agent": event.agent,
        "type": event.type,
        "payload": event.payload,
        "correlation": envelope.correlation,
        "causation": envelope.causation,
        "job": envelope.job,
    }


def _time(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="milliseconds")
