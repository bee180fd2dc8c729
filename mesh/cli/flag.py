"""`mesh flag`: named values for handlers, for everybody, a tenant, an agent, or a percentage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.deciding import By, decide, listed, remark, valued
from mesh.cli.exits import BadInput
from mesh.cli.options import Format, Options, shared_options
from mesh.protocols.errors import Refused
from mesh.protocols.naming.names import check_name
from mesh.protocols.policies import Flag, Value, flag_key

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh

app = typer.Typer(help="Flags for handlers and workflows: set, unset, ls.", no_args_is_help=True)

COLUMNS = {
    "name": "FLAG",
    "value": "VALUE",
    "percent": "PERCENT",
    "tenant": "TENANT",
    "agent": "AGENT",
    "by": "BY",
    "reason": "REASON",
    "since": "SINCE",
}
Name = Annotated[str, typer.Argument(metavar="NAME", help="As the code asks for it: ctx.flag(NAME, default).")]
Tenant = Annotated[str, typer.Option(help="Only for this tenant.")]
Agent = Annotated[str, typer.Option(help="Only for this agent.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]


@app.callback()
def _group() -> None:
    """The most specific flag counts: of a tenant and agent, of a tenant, of an agent, of everybody; else the code's default."""


@app.command("set")
@shared_options
def set_flag(
    options: Options,
    name: Name,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="true, false, a number, or any text; '' is the empty one; below zero after --."
        ),
    ],
    tenant: Tenant = "",
    agent: Agent = "",
    percent: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Only for so many of all jobs (or other keys), always the same."),
    ] = None,
    reason: Why = "",
    by: By = "",
) -> None:
    """Set a flag: handlers and workflows get VALUE from now on."""
    key = _key(name, tenant, agent)
    flag = Flag(name=name, value=_value(value), percent=percent, tenant=tenant, agent=agent, reason=remark(reason))

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        return await deciding.decide(key, flag)

    whose = "".join(f" for {what} {which}" for what, which in (("tenant", tenant), ("agent", agent)) if which)
    share = f" for {percent:g} %" if percent is not None else ""
    text = " (a text)" if isinstance(flag.value, str) else ""
    decide(options, by, work, f"flag {name} is {valued(flag.value)}{text}{whose}{share}")


@app.command("unset")
@shared_options
def unset_flag(
    options: Options, name: Name, tenant: Tenant = "", agent: Agent = "", reason: Why = "", by: By = ""
) -> None:
    """Unset a flag: a wider one counts again, or the code's default."""
    key = _key(name, tenant, agent)

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        try:
            return await deciding.lift(key, remark(reason))
        except Refused:
            raise BadInput(f"flag {name} is not set there; `mesh flag ls` lists those that are") from None

    decide(options, by, work, f"flag {name} is unset")


@app.command("ls")
@shared_options
def list_flags(options: Options) -> None:
    """List the flags that are set."""

    def row(flag: Any) -> dict[str, Any]:
        value = valued(flag.value) if options.output is Format.TABLE else flag.value
        return {
            "name": flag.name, "value": value, "percent": flag.percent, "tenant": flag.tenant, "agent": flag.agent,
        }  # fmt: skip

    listed(options, Flag, row, COLUMNS, "no flag is set")


def _key(name: str, tenant: str, agent: str) -> str:
    for each, what in ((tenant, "tenant"), (agent, "agent")):
        if each:
            check_name(each, what)
    return flag_key(name, tenant=tenant, agent=agent)


def _value(text: str) -> Value:
    """`true`, `false` and numbers as such, everything else as text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
