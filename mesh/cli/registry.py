"""`mesh registry`: who is there, what they can do, how they do.

Opens nothing but a directory: no process of its own, no lease. Every listing asks all processes first, so that it shows
no corpse, suspects the silent and has fresh figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from mesh.cli.exits import BadInput, Exit
from mesh.cli.opening import ANSWER_WITHIN, CLOCK, opened
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import print_line, print_rows, print_table, print_value, printable
from mesh.cli.registry_bids import list_bids
from mesh.cli.running import for_a_while, run
from mesh.protocols.errors import UnknownAgent, UnknownCapability
from mesh.registry.directory import Directory
from mesh.registry.inspection import chosen, details, event, graph, named, rows
from mesh.registry.listing import Change, Listing

app = typer.Typer(help="Who is there: ls, show, watch, ping, schema, bids, graph.", no_args_is_help=True)

COLUMNS = {
    "agent": "AGENT",
    "instance": "INSTANCE",
    "process": "PROCESS",
    "version": "VERSION",
    "host": "HOST",
    "state": "STATE",
    "capabilities": "CAPABILITIES",
    "labels": "LABELS",
    "load": "LOAD",
    "queue": "QUEUE",
    "latency_ms": "LATENCY MS",
    "success": "SUCCESS",
    "price": "BID",
    "age": "AGE",
}
OFFERS = {
    "name": "CAPABILITY",
    "command": "COMMAND",
    "effect": "EFFECT",
    "timeout": "TIMEOUT S",
    "price": "PRICE",
    "latency": "LATENCY S",
    "success": "SUCCESS",
}
_OFFERS = ("bid", "declares")
"""Fields of an instance that are a table of their own: `OFFERS`; digests of schemas are for programs, and `registry schema`."""
PING_COLUMNS = {"process": "PROCESS", "host": "HOST", "pid": "PID", "answer": "ANSWER", "rtt_ms": "RTT MS"}


class State(StrEnum):
    """States of an instance."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    SUSPECT = "suspect"


Capability = Annotated[str | None, typer.Option("--capability", help="Only who offers this capability.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="K=V", help="Only who has this label; repeatable.")
]
InState = Annotated[State | None, typer.Option("--state", help="Only instances in this state.")]
Name = Annotated[str, typer.Argument(help="An agent, a process, or process.agent.instance.")]


@app.command("ls")
@shared_options
def list_instances(
    options: Options, capability: Capability = None, label: Labels = None, state: InState = None
) -> None:
    """List agent instances with their load, latency, success rate and standing bid."""

    async def work() -> None:
        async with opened(options) as directory:
            listings = await directory.verified(_patience(options))
            found = chosen(listings, capability=capability, labels=_labels(label), state=state)
            shown = rows(found, CLOCK.now())
            print_rows(_for_table(shown, options), COLUMNS, options.output, empty=_nobody(listings))

    run(work())


@app.command()
@shared_options
def show(options: Options, name: Name) -> None:
    """Show all that is known of an agent, a process or one instance."""

    async def work() -> None:
        async with opened(options) as directory:
            found = _named(await directory.verified(_patience(options)), name)
            now = CLOCK.now()
            _print_details([details(each, directory.process(each.process), now) for each in found], options.output)

    run(work())


@app.command()
@shared_options
def watch(options: Options, capability: Capability = None, label: Labels = None) -> None:
    """Print who is there, then who comes, changes and goes, until interrupted."""
    labels = _labels(label)

    def wanted(change: Change) -> bool:
        listing = change.listing
        return not (capability or labels) or bool(listing and chosen([listing], capability=capability, labels=labels))

    async def work() -> None:
        changes: asyncio.Queue[Change] = asyncio.Queue()
        async with opened(options, changes) as directory:
            await directory.roll_call(timeout=_patience(options))
            await for_a_while(tell(changes), options.timeout)

    async def tell(changes: asyncio.Queue[Change]) -> None:
        while True:
            change = await changes.get()
            if wanted(change):
                _print_change(event(change, CLOCK.now()), options.output)

    run(work())


@app.command()
@shared_options
def ping(
    options: Options, name: Annotated[str | None, typer.Argument(help="Only this agent or process.")] = None
) -> None:
    """Ask processes whether they live. Exit code 1 if one of them does not answer."""

    async def work() -> bool:
        async with opened(options, ask=False) as directory:
            names = None if name is None else {each.process for each in _named(directory.instances(), name)}
            leases = {
                lease.process: lease for lease in directory.processes() if names is None or lease.process in names
            }
            asked = await directory.roll_call(leases, _patience(options, 1.0))
            answers = [
                {
                    "process": process,
                    "host": lease.host,
                    "pid": lease.pid,
                    "answer": "alive" if process in asked.answered else "dead" if process in asked.dead else "silent",
                    "rtt_ms": round(asked.answered[process] * 1000, 3) if process in asked.answered else None,
                }
                for process, lease in sorted(leases.items())
            ]
            print_rows(answers, PING_COLUMNS, options.output, empty="no process is there")
            return len(asked.answered) == len(leases)

    if not run(work()):
        raise typer.Exit(Exit.FAILED)


@app.command()
@shared_options
def schema(options: Options, capability: Annotated[str, typer.Argument(help="Such as review.security.")]) -> None:
    """Print the JSON Schemas of a capability's input and output, one entry for each way it is declared."""

    async def work() -> None:
        async with opened(options, ask=False) as directory:
            listings = directory.lookup(capability, state=None)
            if not listings:
                known = ", ".join(directory.capabilities()) or "none"
                raise UnknownCapability(f"nobody offers {capability!r}; capabilities here: {known}")
            ways = _ways(listings, capability)
            print_value([await _way(directory, capability, *each) for each in ways.items()], options.output)

    run(work())


app.command("bids")(list_bids)


@app.command("graph")
@shared_options
def draw(options: Options, capability: Capability = None, label: Labels = None, state: InState = None) -> None:
    """Draw hosts, agents and capabilities as Mermaid source."""

    async def work() -> None:
        async with opened(options) as directory:
            listings = await directory.verified(_patience(options))
            source = graph(chosen(listings, capability=capability, labels=_labels(label), state=state))
            if options.output is Format.TABLE:
                typer.echo(source, nl=False)
            else:
                print_value({"mermaid": source}, options.output)

    run(work())


def _nobody(listings: Sequence[Listing]) -> str:
    """Why a listing is empty."""
    there = sorted({each.agent for each in listings})
    return f"no agent there is like that; agents here: {', '.join(there)}" if there else "no agent is there"


def _patience(options: Options, usual: float = ANSWER_WITHIN) -> float:
    return usual if options.timeout is None else min(usual, options.timeout)


def _labels(given: Sequence[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in given or ()]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise BadInput(f"--label takes NAME=VALUE, such as --label gpu=yes; got {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def _named(listings: Sequence[Listing], name: str) -> list[Listing]:
    found = named(listings, name)
    if not found:
        known = ", ".join(sorted({each.agent for each in listings})) or "none"
        raise UnknownAgent(f"no agent, process or instance {name!r} is there; agents here: {known}")
    return found


def _for_table(shown: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    """Bids as their prices, ages for people; programs get the rows as they are."""
    if options.output is not Format.TABLE:
        return shown
    return [{**each, "price": _prices(each["bid"]), "age": _age(each["age_s"])} for each in shown]


def _prices(bids: dict[str, dict[str, Any]] | None) -> str:
    return ", ".join(sorted({f"{each['price']:g}" for each in (bids or {}).values()}))


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _print_details(shown: Sequence[dict[str, Any]], output: Format) -> None:
    if output is not Format.TABLE:
        print_value(shown, output)
        return
    for number, each in enumerate(shown):
        if number:
            typer.echo()
        heading = {"field": "FIELD", "value": f"{each['process']}.{each['agent']}.{each['instance']}"}
        print_table([{"field": name, "value": value} for name, value in each.items() if name not in _OFFERS], heading)
        if each["declares"]:
            typer.echo()
            bids = each["bid"] or {}
            print_table([{**offer, **bids.get(offer["name"], {})} for offer in each["declares"]], OFFERS)


def _print_change(happened: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        print_line(happened)
        return
    name = (
        f"{happened['process']}.{happened['agent']}.{happened['instance']}"
        if happened["agent"]
        else happened["process"]
    )
    words = [happened["kind"], name, happened["state"] or "", f"({happened['why']})" if happened["why"] else ""]
    typer.echo(printable("  ".join(each for each in words if each)))


def _ways(listings: Sequence[Listing], capability: str) -> dict[tuple[str, str], list[Listing]]:
    """Who declares the capability with which pair of schema digests."""
    ways: dict[tuple[str, str], list[Listing]] = {}
    for each in listings:
        declared = each.record.offers(capability)
        if declared is not None:
            ways.setdefault((declared.input, declared.output), []).append(each)
    return ways


async def _way(
    directory: Directory, capability: str, digests: tuple[str, str], by: Sequence[Listing]
) -> dict[str, Any]:
    return {
        "capability": capability,
        "agents": sorted({f"{each.agent} {each.record.version}" for each in by}),
        "input_digest": digests[0],
        "input": await directory.schema(digests[0]),
        "output_digest": digests[1],
        "output": await directory.schema(digests[1]),
    }
