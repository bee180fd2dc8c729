"""`mesh kill`: nothing of that name is asked, started or handed work any more, everywhere, within a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.deciding import By, Yes, confirm, decide, end_of, listed, switch_row
from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.protocols.policies import KINDS, Switch, What, switch_key

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh

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
    "step-kind": "effect",
    "workflow": "nightly",
}


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
        switch = Switch(what=what, name=name, reason=reason.strip(), until=end_of(until, span), now=now)
        key = switch_key(what, name)
        if not switch.reason:
            raise BadInput("--reason: say why; whoever is refused is told")
        if name == "*":
            confirm(f"every {what} is killed", yes)

        async def work(mesh: Mesh, deciding: Deciding) -> Decided:
            return await deciding.decide(key, switch)

        decide(options, by, work, f"{what} {name} is killed")


for _what in KINDS:
    _command(_what)


@app.command("ls")
@shared_options
def list_switches(options: Options) -> None:
    """List what is killed, by whom, and why."""

    def row(switch: Any) -> dict[str, Any]:
        return switch_row(switch)

    listed(options, Switch, row, COLUMNS, "nothing is killed")
