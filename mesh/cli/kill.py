"""`mesh kill`: nothing of that name is asked, started or handed work any more, everywhere, within a second."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.deciding import By, Yes, confirm, decide, end_of, listed, switch_row, why
from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note
from mesh.protocols.naming.names import check_name
from mesh.protocols.policies import KINDS, Switch, What, switch_key

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh
    from mesh.registry.directory import Directory

app = typer.Typer(help="Kill an agent, a tenant, a capability, …; ls: what is killed.", no_args_is_help=True)

COLUMNS = {
    "what": "KILLED",
    "name": "NAME",
    "by": "BY",
    "reason": "REASON",
    "since": "SINCE",
    "until": "UNTIL",
    "now": "NOW",
}
NAMES: dict[What, str] = {
    "agent": "reviewer",
    "version": "reviewer@1.2.0 or reviewer@1.*",
    "instance": "reviewer.r-2",
    "capability": "pay.refund or pay.*",
    "tool": "search.web",
    "tenant": "acme",
    "step-kind": "call",
    "workflow": "nightly",
}
STEP_KINDS = ("call", "local", "child")
_WORKFLOW = "workflow."


@app.callback()
def _group() -> None:
    """Kill switches. What runs goes on, unless --now; `mesh allow` lifts a switch again."""


def _command(what: What) -> None:
    @app.command(what, help=f"Kill {'an' if what[0] in 'aeiou' else 'a'} {what}, such as {NAMES[what]}.")
    @shared_options
    def kill(
        options: Options,
        name: Annotated[str, typer.Argument(metavar="NAME", help="Exact, or ending in '.*'; '*' for every one.")],
        reason: Annotated[
            str, typer.Option("--reason", help="Why; whoever is refused is told, and it stays on record.")
        ],
        until: Annotated[str | None, typer.Option(help="Until then: 18:30, or 2026-11-20T18:30.")] = None,
        span: Annotated[str | None, typer.Option("--for", help="For so long: 30s, 10m, 2h, 1d.")] = None,
        now: Annotated[bool, typer.Option("--now", help="Also cancel what runs.")] = False,
        by: By = "",
        yes: Yes = False,
    ) -> None:
        key = switch_key(what, name)
        if what == "tenant" and not name.endswith("*"):
            check_name(name, "tenant")
        switch = Switch(what=what, name=name, reason=why(reason), until=end_of(until, span), now=now)
        if what == "step-kind" and not any(map(switch.covers, STEP_KINDS)):
            raise BadInput(f"no step is of the kind {name!r}: there are {', '.join(STEP_KINDS)}")
        if name == "*":
            confirm(f"every {what} is killed", yes)
        there: list[str] | None = None

        async def work(mesh: Mesh, deciding: Deciding) -> Decided:
            nonlocal there
            decided = await deciding.decide(key, switch)
            there = _names(mesh.directory, what)
            return decided

        decide(options, by, work, f"{what} {name} is killed")
        if there is not None and not any(map(switch.covers, there)):
            known = ", ".join(get_close_matches(name, there, 5, 0.5) or there[:10]) or "none"
            note(f"no {what} of that name is here now (there is: {known}); the switch waits for one that comes")


def _names(directory: Directory, what: What) -> list[str] | None:
    """What is there of that kind, for whoever mistypes at night; None: the registry does not know of such."""
    records = [each.record for each in directory.instances()]
    match what:
        case "agent":
            return sorted({each.agent for each in records})
        case "version":
            return sorted({f"{each.agent}@{each.version}" for each in records})
        case "instance":
            return sorted({f"{each.agent}.{each.instance}" for each in records})
        case "capability":
            return sorted(directory.capabilities())
        case "workflow":
            return sorted(each[len(_WORKFLOW) :] for each in directory.capabilities() if each.startswith(_WORKFLOW))
    return None


for _what in KINDS:
    _command(_what)


@app.command("ls")
@shared_options
def list_switches(options: Options) -> None:
    """List what is killed, by whom, and why."""

    def row(switch: Any) -> dict[str, Any]:
        return switch_row(switch)

    listed(options, Switch, row, COLUMNS, "nothing is killed")
