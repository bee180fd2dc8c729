"""`mesh allow`: lift a kill switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from mesh.cli.deciding import By, decide, remark
from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note
from mesh.protocols.errors import Refused
from mesh.protocols.policies import KINDS, Switch, What, switch_key

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh


@shared_options
def allow(
    options: Options,
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(KINDS))],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As it stands in `mesh kill ls`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays on record.")] = "",
    by: By = "",
) -> None:
    """Lift a kill switch: what was refused is taken again. Exit code 5 if another switch still kills it."""
    kind = cast(What, what)
    key = switch_key(kind, name)
    others: list[Switch] = []
    narrower: list[Switch] = []

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        policy = mesh.peer.policy
        switches = dict(policy.switches)
        if key not in switches and not policy.revision(key):
            known = ", ".join(f"{each.what} {each.name}" for each in switches.values()) or "nothing"
            raise BadInput(f"{what} {name} is not killed by a switch of that name; killed: {known}")
        decided = await deciding.lift(key, remark(reason))
        left = [each for each in switches.values() if each.key != key]
        others.extend(each for each in left if each.what == kind and each.covers(name))
        narrower.extend(each for each in left if each not in others and _within(each, kind, name))
        return decided

    decide(options, by, work, f"{what} {name} is allowed")
    if narrower:
        note(
            f"but not all of it: {', '.join(f'{each.what} {each.name}' for each in narrower)} is killed by a switch of its own"
        )
    if others:
        left = ", ".join(f"{each.what} {each.name}" for each in others)
        raise Refused(f"it is still killed by another switch: {left}")


def _within(switch: Switch, what: What, name: str) -> bool:
    """Whether what the switch kills is a part of what was allowed."""
    if switch.what == what:
        return Switch(what=what, name=name).covers(switch.name)
    parts = {"version": "@", "instance": "."}
    return what == "agent" and switch.what in parts and switch.name.partition(parts[switch.what])[0] == name
