"""`mesh call`: one auction for a capability. The result goes to stdout; `--explain` tells who bid what, and who won why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mesh.cli.explaining import award_as_lines, award_as_row
from mesh.cli.options import Format, Options, shared_options
from mesh.cli.output import note, print_value
from mesh.cli.payload import demands, read_payload
from mesh.cli.running import connected, run
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Constraints
from mesh.protocols.naming.names import check_capability, check_name

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.contract_net.calls import Contracted
    from mesh.contract_net.ledger import MemoryLedger

DEFAULT_TIMEOUT = 30.0
"""Seconds for a capability that nobody offers right now, so that nobody says how long it takes."""


class AwardMode(StrEnum):
    """The three ways to award."""

    STANDING = "standing"
    DIRECTED = "directed"
    BROADCAST = "broadcast"


@shared_options
def call(
    options: Options,
    capability: Annotated[str, typer.Argument(help="What is to be done, such as review.security.")],
    payload: Annotated[str, typer.Argument(metavar="[JSON|-|@FILE]", help="The handler's input.")] = "null",
    mode: Annotated[AwardMode, typer.Option(help="How the winner is found.")] = AwardMode.STANDING,
    explain: Annotated[bool, typer.Option("--explain", help="Tell who bid what, and why the winner won.")] = False,
    label: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Only instances with this label.")] = None,
    boundary: Annotated[str, typer.Option(help="Only instances within this data boundary.")] = "",
    budget: Annotated[float | None, typer.Option(help="The most money it may cost.")] = None,
    priority: Annotated[int, typer.Option(min=0, max=3, help="0 is the most urgent.")] = 2,
    key: Annotated[str, typer.Option(help="The idempotency key.")] = "",
    tenant: Annotated[str, typer.Option(help="On whose account.")] = "default",
) -> None:
    """Hold one auction for a capability and print the result. --timeout is the deadline of the work, too."""
    check_capability(capability)
    check_name(tenant, "tenant")
    content = read_payload(payload)
    constraints = demands(labels=label, boundary=boundary, budget=budget, priority=priority)

    async def work() -> None:
        from mesh.contract_net.ledger import MemoryLedger

        async with connected(options) as mesh:
            ledger = MemoryLedger()
            try:
                contracted = await _contract(mesh, options, capability, content, constraints, mode, key, tenant, ledger)
            finally:
                if explain and options.output is Format.TABLE:
                    _explain(ledger.records)
            _print(contracted, ledger.records if explain else None, options.output)

    run(work())


async def _contract(
    mesh: Mesh,
    options: Options,
    capability: str,
    content: msgspec.Raw,
    constraints: Constraints,
    mode: AwardMode,
    key: str,
    tenant: str,
    ledger: MemoryLedger,
) -> Contracted:
    from mesh.contract_net.calls import Call
    from mesh.resilience.deadline import Deadline

    timeout = options.timeout or mesh.initiator.declared.timeout(capability) or DEFAULT_TIMEOUT
    wanted = Call(
        capability=capability,
        input=content,
        deadline=Deadline.after(mesh.peer.clock, timeout),
        constraints=constraints,
        mode=mode.value,
        key=key,
        tenant=tenant,
    )
    return await mesh.initiator.contract(wanted, ledger=ledger)


def _print(contracted: Contracted, records: list[AwardRecord] | None, output: Format) -> None:
    value = msgspec.json.decode(contracted.content)
    if contracted.degraded:
        note(f"this result is degraded: {contracted.degraded}")
    if output is Format.TABLE or (records is None and not contracted.degraded):
        print_value(value, output)
        return
    told = {"result": value, "degraded": contracted.degraded}
    if records is None:
        print_value(told, output)
        return
    print_value({**told, "usage": contracted.usage, "awards": [award_as_row(each) for each in records]}, output)


def _explain(records: list[AwardRecord]) -> None:
    if not records:
        note("no award was made")
    for record in records:
        for line in award_as_lines(record):
            note(line)
