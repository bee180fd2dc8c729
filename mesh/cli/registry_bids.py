"""`mesh registry bids`: what bidders for a capability promise, and what they deliver, as those who gave them work tell it."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.opening import ANSWER_WITHIN, CLOCK, opened
from mesh.cli.options import Options, shared_options
from mesh.cli.output import note, print_rows
from mesh.cli.running import run
from mesh.protocols.errors import UnknownCapability
from mesh.protocols.naming.names import check_capability
from mesh.registry.promises import promises

COLUMNS = {
    "agent": "AGENT",
    "version": "VERSION",
    "instances": "INSTANCES",
    "promised_s": "PROMISED S",
    "delivered_s": "DELIVERED S",
    "ratio": "RATIO",
    "spread": "SPREAD",
    "believed": "BELIEVED",
    "success_claimed": "CLAIMED",
    "success": "SUCCESS",
    "price_asked": "ASKED",
    "price_paid": "PAID",
    "kept": "KEPT",
    "broken": "BROKEN",
    "calls": "CALLS",
    "told_by": "TOLD BY",
    "age_s": "AGE S",
}


@shared_options
def list_bids(
    options: Options, capability: Annotated[str, typer.Argument(help="What is to be done, such as review.security.")]
) -> None:
    """List what bidders for a capability promised and what they delivered, by version of an agent.

    The figures are those of processes that host agents; older calls count less. BELIEVED is the factor by which a process
    that knows nothing itself corrects the time that is promised.
    """
    check_capability(capability)

    async def work() -> None:
        async with opened(options) as directory:
            await directory.roll_call(timeout=min(ANSWER_WITHIN, options.timeout or ANSWER_WITHIN))
            listings = directory.lookup(capability, state=None)
            found = promises(capability, listings, directory.hearsay, CLOCK.monotonic())
            if not found:
                known = ", ".join(directory.capabilities()) or "none"
                raise UnknownCapability(f"nobody offers {capability!r}; capabilities here: {known}")
            print_rows(found, COLUMNS, options.output, empty="")
            if not any(each["told_by"] for each in found):
                note(
                    "no process that hosts agents has given this work to anybody yet; mere clients keep what they measure"
                )

    run(work())
