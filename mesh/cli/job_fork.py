"""`mesh job fork` and `mesh job diff`: what would have come of it, had something been different."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_table, print_value, printable
from mesh.cli.payload import pairs
from mesh.cli.running import connected, run
from mesh.cli.submit import follow

if TYPE_CHECKING:
    from mesh.actors.declaring.definition import AgentDefinition
    from mesh.client.mesh import Mesh
    from mesh.jobs.replay.forking import Forking, Plan

STEPS = {"key": "STEP", "change": "CHANGE", "a": "BEFORE", "b": "AFTER", "diff": "DIFFERENT"}
Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the beginning of it.")]


@shared_options
def fork(
    options: Options,
    job: Id,
    at: Annotated[str, typer.Option(metavar="STEP", help="The first step that is done anew: its key.")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="A field of the input, by dotted path: order.amount=7."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Another file for an agent; this command runs it, for this fork only."),
    ] = None,
    allow_effects: Annotated[
        bool, typer.Option("--allow-effects", help="Also do what touches the world outside a second time.")
    ] = False,
    key: Annotated[str, typer.Option(help="Your own key: the same key is the same fork.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be kept and what done.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
) -> None:
    """Begin a new job that has done what ID had done before STEP, and goes on from there; the original stays as it is.

    Said again, it is the same job. What may be done at most once, or only under its key, gives what it gave.
    """
    if agent and not wait and not dry_run:
        raise BadInput("--agent runs the agent in this command until the fork ends: leave --no-wait out")
    files = [_loaded(name, path) for name, path in pairs(agent, "--agent").items()]

    async def work() -> tuple[Plan, Any]:
        async with connected(options, name="fork") as mesh:
            forking = await _prepared(mesh, job, at, setting or [], files, allow_effects, key)
            if dry_run:
                return forking.plan(), None
            for each in files:
                await mesh.host(_renamed(each.definition, forking.job))
            plan = await forking.begin(mesh.peer)
            note(
                f"job {plan.job} is {'there already' if plan.duplicate else 'begun'}, a fork of {plan.original} at {at!r}"
            )
            handle = mesh.job(plan.job, tenant=forking.tenant)
            return plan, await follow(handle, options.timeout, until_awaited=None) if wait else None

    plan, result = run(work())
    if dry_run and options.output is Format.TABLE:
        _print_plan(plan)
    elif dry_run or (not wait and options.output is not Format.TABLE):
        print_value(plan, options.output)
    elif wait:
        print_value(result, options.output)
    else:
        typer.echo(plan.job)


@shared_options
def diff(
    options: Options,
    a: Annotated[str, typer.Argument(metavar="A", help="A job's id, or the beginning of it.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one's.")],
) -> None:
    """Show what is different between two jobs: outcome, steps, cost, time."""

    async def work() -> dict[str, Any]:
        from mesh.jobs.journals.values import Values
        from mesh.jobs.replay.comparing import compare

        async with connected(options) as mesh:
            peer = mesh.peer
            states = [await _state(mesh, each) for each in (a, b)]
            return await compare(states[0], states[1], Values(peer.store, peer.subjects, peer.clock))

    found = run(work())
    if options.output is Format.TABLE:
        _print_diff(found)
    else:
        print_value(found, options.output)


class _File:
    """An agent as a file has it, for a fork."""

    def __init__(self, definition: AgentDefinition, name: str, path: Path) -> None:
        self.definition = definition
        self.change = f"agent {name} from {path.name}, {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        self.capabilities = [each.name for each in definition.capabilities]


def _loaded(name: str, use: str) -> _File:
    from mesh.actors.declaring.definition import definition_of
    from mesh.host.loading import CannotLoad, load

    try:
        definition = definition_of(load(use, Path.cwd()))
    except CannotLoad as error:
        raise BadInput(f"--agent {name}={error}") from None
    if definition.name != name:
        raise BadInput(f"--agent {name}={use}: the agent there is called {definition.name!r}")
    if not definition.capabilities:
        raise BadInput(f"--agent {name}={use}: that agent offers no capability, and no job calls it")
    place = use if use.endswith(".py") else use.rpartition(":")[0]
    path = Path.cwd() / place
    if not path.is_file():
        raise BadInput(f"--agent {name}={use}: name a file, such as {name}={name}.py")
    return _File(definition, name, path)


def _alias(capability: str, job: str) -> str:
    """What only this fork calls: nobody else's work goes to an agent that is being tried."""
    return f"fork-{job}.{capability}"


def _renamed(definition: AgentDefinition, job: str) -> AgentDefinition:
    """It takes part in nothing but that fork: it hears no events, and keeps no times."""
    handlers = {
        name: replace(each, options=msgspec.structs.replace(each.options, capability=_alias(each.capability, job)))
        if each.capability
        else each
        for name, each in definition.handlers.items()
    }
    return replace(definition, name=f"{definition.name}-fork", handlers=handlers, reactions=(), timers=())


async def _prepared(
    mesh: Mesh, job: str, at: str, settings: list[str], files: list[_File], effects: bool, key: str
) -> Forking:
    from mesh.jobs.journals.journals import Journals
    from mesh.jobs.journals.values import Values
    from mesh.jobs.replay.forking import Fork, Forking, changed_input

    peer = mesh.peer
    journals, values = Journals(peer.store, peer.subjects), Values(peer.store, peer.subjects, peer.clock)
    found = await journals.find(job)
    records = await journals.read(found.entry.tenant, found.entry.job)
    said = pairs(settings, "--set")
    value: Any = msgspec.UNSET
    if said:
        submitted = (await _state(mesh, found.entry.job)).submitted
        if submitted is None:
            raise BadInput("only the job's tombstone is left: restore its archive first")
        value = changed_input(
            msgspec.json.decode(await values.load(submitted.input)), {path: _value(text) for path, text in said.items()}
        )
    changes = (*(f"{path}={text}" for path, text in said.items()), *(each.change for each in files))
    plain = Forking(records, Fork(at=at, input=value, effects=effects, changes=changes, key=key))
    instead = {each: _alias(each, plain.job) for file in files for each in file.capabilities}
    fixed = Fork(at=at, input=value, effects=effects, changes=changes, key=plain.key, instead=instead)
    return Forking(records, fixed) if files else plain


async def _state(mesh: Mesh, job: str) -> Any:
    from mesh.jobs.journals.journals import Journals

    journals = Journals(mesh.peer.store, mesh.peer.subjects)
    found = await journals.find(job)
    return await journals.state(found.entry.tenant, found.entry.job)


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text


def _print_plan(plan: Plan) -> None:
    for name, keys in (("kept", plan.kept), ("stubbed", plan.stubbed), ("done anew", plan.redone)):
        typer.echo(printable(f"{name:>10}: {', '.join(keys) or '–'}"))
    for each in plan.changes:
        typer.echo(printable(f"{'changed':>10}: {each}"))
    typer.echo(printable(f"{'job':>10}: {plan.job}"))


def _print_diff(found: dict[str, Any]) -> None:
    for side in ("a", "b"):
        about = found[side]
        origin = f", a fork of {about['forked_from']}" if about["forked_from"] else ""
        changes = f" ({'; '.join(about['changes'])})" if about["changes"] else ""
        typer.echo(printable(f"{side}: {about['id']}  {about['workflow']} version {about['version']}{origin}{changes}"))
    _print_lines("input", found["input"])
    outcome = found["outcome"]
    typer.echo(printable(f"\noutcome: {outcome['a']}" + (f" → {outcome['b']}" if outcome["a"] != outcome["b"] else "")))
    _print_lines("result", outcome["diff"])
    changed = [each for each in found["steps"] if each["change"] != "same"]
    same = len(found["steps"]) - len(changed)
    typer.echo(f"steps: {len(changed)} different, {same} the same")
    if changed:
        print_table([_step_row(each) for each in changed], STEPS)
    sums = [*found["cost"].items(), ("seconds", found["seconds"])]
    told = [f"{name} {sides['a']:g} → {sides['b']:g}" for name, sides in sums if sides["a"] or sides["b"]]
    typer.echo(f"cost: {', '.join(told) or 'nothing'}")


def _step_row(row: dict[str, Any]) -> dict[str, Any]:
    sides = {side: _side(row[side]) for side in ("a", "b")}
    return {"key": row["key"], "change": row["change"], **sides, "diff": "\n".join(row["diff"])}


def _side(side: dict[str, Any] | None) -> str:
    if side is None:
        return ""
    seconds = f", {side['seconds']:g} s" if side["seconds"] else ""
    return str(side["error"] or side["state"]) + (f" by {side['by']}" if side["by"] else "") + seconds


def _print_lines(what: str, lines: list[str]) -> None:
    for line in lines:
        typer.echo(printable(f"  {what} {line}"))
