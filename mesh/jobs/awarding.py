"""Giving a step to an agent, with a job's patience.

A caller who waits at a prompt wants to hear *nobody can* at once. A durable job would rather have its step done: while those
who could are only busy, leaving, or not back yet from a restart of the server, it asks again until the step's deadline.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.contract_net.calls import Call, Contracted
from mesh.jobs.calls import Contractor
from mesh.jobs.seat import Seat
from mesh.jobs.steps import Attempt
from mesh.protocols.errors import AgentLost, MeshError, NoBids

PASSING = frozenset({"capacity", "draining", "expired", "late", "breaker"})
"""Reasons of a refusal that time may cure."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
MOST_LOSSES = 3
"""Calls that may end in a lost agent: a supervisor has one back in a moment, but work that kills its agent must not go on."""


async def award(
    contractor: Contractor, call: Call, seat: Seat, attempt: Attempt, hands_over: Callable[[], bool]
) -> Contracted:
    """What the winner delivered.

    Raises:
        NoBids · AgentLost: nobody can, and waiting would not help. Whatever else the contract net raises.
    """
    pause, losses, resume = FIRST_PAUSE, 0, attempt.resume
    while True:
        try:
            return await contractor.contract(
                call, ledger=attempt, on_progress=attempt.progress, resume=resume, hands_over=hands_over
            )
        except (NoBids, AgentLost) as error:
            losses += isinstance(error, AgentLost)
            wait = max(pause, error.retry_after or 0.0) * (0.5 + seat.ids.random.random())
            passing = seat.unsettled() or 0 < losses < MOST_LOSSES or _passing(error)
            if not passing or call.deadline.remaining() <= wait:
                raise
        resume = None
        await seat.clock.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _passing(error: MeshError) -> bool:
    """Whether somebody who refused may do it soon. Refusals are told as `<agent>.<instance>: <reason>: <words>`."""
    refusals = (str(each).split(": ") for each in error.detail.get("refusals") or ())
    return any(len(parts) > 1 and parts[1] in PASSING for parts in refusals)
