"""`mesh breaker`: which process refuses which target, and why; and to have it do so, or stop doing so."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer

from mesh.cli.deciding import user, when, why
from mesh.cli.exits import BadInput, Exit
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_rows, print_table, print_value
from mesh.cli.running import connected, run
from mesh.protocols.breaker_rows import BreakerAct, BreakerRow, BreakersWanted
from mesh.protocols.errors import MeshError, UnknownAgent
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

app = typer.Typer(help="Circuit breakers: ls, show, open, close, reset.", no_args_is_help=True)

COLUMNS = {
    "process": "HELD BY",
    "kind": "KIND",
    "target": "TARGET",
    "capability": "CAPABILITY",
    "state": "STATE",
    "calls": "CALLS",
    "failed": "FAILED",
    "slow": "SLOW",
    "retry_in": "RETRY IN S",
    "reason": "REASON",
}
PASSAGES = {"at": "AT", "was": "WAS", "state": "STATE", "why": "WHY", "by": "BY"}
ANSWER_WITHIN = 2.0
KINDS = ("call", "tool", "quality")
CALLED = "a tool's breaker has its agent as --target, and the tool as --capability; `mesh breaker ls` lists those that were needed so far"

Process = Annotated[
    str | None, typer.Option("--process", metavar="NAME", help="Only the breakers of this process; wildcards: * and ?.")
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="An agent, agent.instance, process.agent.instance or agent@version; wildcards."),
]  # fmt: skip
Capability = Annotated[
    str | None, typer.Option("--capability", metavar="NAME", help="A capability, command or tool; wildcards.")
]
Kind = Annotated[
    str | None, typer.Option("--kind", metavar="KIND", help="call (of an agent), tool, or quality (of a version's outputs).")
]  # fmt: skip
Reason = Annotated[str, typer.Option("--reason", help="Why; shown to whoever meets it, and kept.")]


class Answers(NamedTuple):
    """What the processes said: their rows, and who said nothing."""

    rows: list[dict[str, Any]]
    silent: list[str]


@app.callback()
def _group() -> None:
    """Circuit breakers: each process keeps its own, one for each target and capability, tool, or version's outputs.

    Those of processes that host something can be looked at and changed from here; one that only calls has its own, out of reach.
    """


@app.command("ls")
@shared_options
def list_breakers(
    options: Options,
    process: Process = None,
    target: Target = None,
    capability: Capability = None,
    kind: Kind = None,
    tripped: Annotated[bool, typer.Option("--tripped", help="Only those that are not closed.")] = False,
) -> None:
    """List the breakers of every process that hosts something. Exit code 1 if one does not answer; it is named on stderr."""
    wanted = wanted_of("ls", target, capability, kind)
    answers = _ask(options, process, wanted)
    found = _sorted(each for each in answers.rows if not tripped or each["state"] != "closed")
    nothing = "no breaker is open" if tripped else "no breaker was needed yet, or none is called that"
    nothing += " in the processes that told" * bool(answers.silent)
    print_rows([_without_history(each) for each in found], COLUMNS, options.output, empty=nothing)
    if answers.silent:
        raise typer.Exit(Exit.FAILED)


@app.command()
@shared_options
def show(
    options: Options, process: Process = None, target: Target = None, capability: Capability = None, kind: Kind = None
) -> None:
    """Show breakers with their counts, permits, who opened them, and what they went through."""
    answers = _ask(options, process, wanted_of("show", target, capability, kind))
    found = _sorted(answers.rows)
    if not found and not answers.silent:
        raise UnknownAgent(f"no breaker is called that: {CALLED}")
    if options.output is not Format.TABLE:
        print_value(found, options.output)
    for number, each in enumerate(found if options.output is Format.TABLE else ()):
        if number:
            typer.echo()
        fields = [{"field": name, "value": value} for name, value in _without_history(each).items()]
        print_table(fields, {"field": "FIELD", "value": f"{each['target']} {each['capability']}"})
        if each["history"]:
            typer.echo()
            print_table([{**passed, "at": when(passed["at"])} for passed in each["history"]], PASSAGES)
    if answers.silent:
        raise typer.Exit(Exit.FAILED)


@app.command("open")
@shared_options
def force_open(
    options: Options,
    reason: Reason,
    process: Process = None,
    target: Target = None,
    capability: Capability = None,
    kind: Kind = None,
) -> None:
    """Force breakers open, until they are closed: calls are refused at once. They need not have been needed before.

    It is for the processes that host something now, and for as long as they run: each holds its own, in memory. One that
    restarts, starts later, or only calls does not know of it. To switch something off for good and everywhere, use `mesh kill`.
    """
    _do(options, process, wanted_of("open", target, capability, kind, reason))


@app.command()
@shared_options
def close(
    options: Options, process: Process = None, target: Target = None, capability: Capability = None, kind: Kind = None
) -> None:
    """Close breakers, forced open or not, and forget what they have counted."""
    _do(options, process, wanted_of("close", target, capability, kind))


@app.command()
@shared_options
def reset(
    options: Options, process: Process = None, target: Target = None, capability: Capability = None, kind: Kind = None
) -> None:
    """Have breakers forget what they have counted: those that opened by themselves close, forced ones stay open."""
    _do(options, process, wanted_of("reset", target, capability, kind))


def wanted_of(
    act: BreakerAct, target: str | None, capability: str | None, kind: str | None, reason: str = ""
) -> BreakersWanted:
    """What is asked of each process.

    Raises:
        BadInput: it says too little, or means nothing.
    """
    if kind is not None and kind not in KINDS:
        raise BadInput(f"--kind is one of {', '.join(KINDS)}; got {kind!r}")
    if act in ("open", "close", "reset") and not (target or capability):
        raise BadInput(f"say which breakers to {act}: --target, --capability, or both; --target '*' means all")
    by = user() if act in ("open", "close", "reset") else ""
    return BreakersWanted(
        act=act, target=target or "", capability=capability or "", kind=kind, reason=why(reason) if act == "open" else "", by=by  # type: ignore[arg-type]
    )  # fmt: skip


def instead_of(wanted: BreakersWanted) -> str:
    """The kill switch that comes next to what is forced open here; it is stored, and every process goes by it."""
    target, capability = wanted.target, wanted.capability
    if any(set(each.removesuffix(".*")) & set("*?[") for each in (target, capability) if each != "*"):
        return "`mesh kill`"
    if wanted.kind == "tool":
        what = f"tool {capability}"
    elif not target or target == "*":
        what = f"capability {capability or '*'}"
    elif "@" in target:
        what = f"version {target}"
    elif (parts := target.split("."))[1:]:
        what = f"instance {'.'.join(parts[-2:])}"
    else:
        what = f"agent {target}"
    return f"`mesh kill {what} --reason …`"


def _do(options: Options, process: str | None, wanted: BreakersWanted) -> None:
    """Exit code 1 if a process said nothing: there it may be as it was."""
    answers = _ask(options, process, wanted)
    found = _sorted(answers.rows)
    nothing = f"no breaker is called that, and nothing has changed: {CALLED}"
    print_rows([_without_history(each) for each in found], COLUMNS, options.output, empty=nothing)
    if wanted.act == "open" and found:
        there = len({each["process"] for each in found})
        note(
            f"forced in {there} process{'es' * (there != 1)}, while they run; one that restarts, starts later, or hosts nothing calls"
            f" all the same. For all, and until it is allowed again: {instead_of(wanted)}"
        )
    if answers.silent or not found:
        raise typer.Exit(Exit.FAILED if answers.silent else Exit.BAD_INPUT)


def _ask(options: Options, process: str | None, wanted: BreakersWanted) -> Answers:
    return run(_asked(options, process, wanted))


async def _asked(options: Options, process: str | None, wanted: BreakersWanted) -> Answers:
    """Every process that is meant, at once."""
    async with connected(options) as mesh:
        there = sorted(lease.process for lease in mesh.directory.processes())
        names = [each for each in there if process is None or fnmatchcase(each, process)]
        if process is not None and not names:
            raise UnknownAgent(f"no process {process!r} is there; processes: {', '.join(there) or 'none'}")
        wait = options.timeout or ANSWER_WITHIN
        answers = await asyncio.gather(*(_rows(mesh, each, wanted, wait) for each in names))
    silent = [name for name, rows in zip(names, answers, strict=True) if rows is None]
    return Answers(
        [
            {"process": name, **msgspec.to_builtins(row)}
            for name, rows in zip(names, answers, strict=True)
            for row in rows or ()
        ],
        silent,
    )


async def _rows(mesh: Mesh, process: str, wanted: BreakersWanted, timeout: float) -> list[BreakerRow] | None:
    """What this process answers; None, and a line on stderr, if it does not."""
    peer = mesh.peer
    subject = peer.subjects.rpc(process, "peer", "peer", mesh.process)
    deadline = Deadline.after(peer.clock, timeout)
    payload = msgspec.Raw(msgspec.json.encode(wanted))
    question = peer.root.compose(peer.ids, "control", "breakers", payload, version=peer.tongue.version)
    try:
        answer = await peer.exchange.ask(subject, question, deadline=deadline)
        return msgspec.json.decode(answer.payload, type=list[BreakerRow])
    except (MeshError, msgspec.MsgspecError) as error:
        note(f"process {process} does not tell: {error}")
        return None


def _sorted(rows: Any) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["state"] == "closed", row["process"], row["target"], row["capability"]))


def _without_history(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "history"}
