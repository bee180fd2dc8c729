"""Giving a step to an agent, with a job's patience.

A caller who waits at a prompt wants to hear *nobody can* at once. A durable job would rather have its step done: while those
who could are only busy, leaving, or not back yet from a restart of the server, it asks again until the step's deadline.

What failed below a winner, among those whom it asked itself, was repeated there: not once more here, where all of the
winner's work would be done again for it.

An agent that asks for time itself (`retry_after` of Overloaded and the like) is given it: a few seconds are waited for here,
for more the job is let go of, and a timer brings it back.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.contract_net.calls import Call, Contracted
from mesh.jobs.owning.seat import Seat
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.calls import Contractor
from mesh.jobs.steps.step import Later
from mesh.protocols.auction_faults import LOSSES
from mesh.protocols.errors import AgentLost, MeshError, NoBids, Transient
from mesh.resilience.retry import RETRIED

PASSING = frozenset({"capacity", "draining", "expired", "late", "breaker", "killed"})
"""Reasons of a refusal that time may cure."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
AWARDS = 4
"""Winners that a call may have lost that does not say how many."""
MOST_LOSSES = 3 * AWARDS
"""Winners that may be lost over a step, in one call or several: a supervisor has one back in a moment, but work that kills its
agent must not go on."""


IN_PLACE = 5.0
"""Seconds that an agent may ask for while the job keeps its owner."""
MOST_ATTEMPTS = 100
"""A step that an agent puts off so often is not put off again."""


async def award(
    contractor: Contractor,
    call: Call,
    seat: Seat,
    attempt: Attempt,
    hands_over: Callable[[], bool],
    left: float | None = None,
) -> Contracted:
    """What the winner delivered. `left` is how many seconds the whole job has, None for no end.

    Raises:
        NoBids · AgentLost: nobody can, and waiting would not help; or it was so for somebody whom the winner asked.
            Whatever else the contract net raises.
        Later: an agent asked for more time than a job keeps its owner for.
    """
    pause, losses, resume = FIRST_PAUSE, 0, attempt.resume
    while True:
        try:
            return await contractor.contract(
                call, ledger=attempt, on_progress=attempt.progress, resume=resume, hands_over=hands_over
            )
        except (NoBids, AgentLost) as error:
            if RETRIED in error.detail:
                raise
            losses += _lost(error)
            wait = max(pause, error.retry_after or 0.0) * (0.5 + seat.ids.random.random())
            passing = seat.unsettled() or 0 < losses < MOST_LOSSES or _passing(error) or _unheard(error, call, seat)
            if not passing or call.deadline.remaining() <= wait:
                raise
        except Transient as error:
            wait = _asked_for(error, attempt, seat)
            if wait > IN_PLACE and (left is None or left > wait):
                raise Later(wait, error) from None
            if not 0 < wait <= IN_PLACE or call.deadline.remaining() <= wait:
                raise
        resume = None
        await seat.clock.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _lost(error: MeshError) -> int:
    """How many winners the call has lost; one that its budget of retries ended has lost fewer."""
    return int(error.detail.get(LOSSES, AWARDS)) if isinstance(error, AgentLost) else 0


def _unheard(error: MeshError, call: Call, seat: Seat) -> bool:
    """Whether nobody listens although somebody who is there offers it: in a cluster, an agent whose server has died is on its
    way to another one."""
    silent = isinstance(error, NoBids) and not error.detail.get("refusals")
    return silent and seat.declared(call.capability) is not None


def _asked_for(error: Transient, attempt: Attempt, seat: Seat) -> float:
    """Seconds after which the agent wants to be asked again, and up to a tenth more, lest all come back at once; 0: it does not.
    What may be done at most once is not asked for twice."""
    if not error.retry_after or attempt.at_most_once or attempt.number >= MOST_ATTEMPTS:
        return 0.0
    return error.retry_after * (1 + 0.1 * seat.ids.random.random())


def _passing(error: MeshError) -> bool:
    """Whether somebody who refused may do it soon. Refusals are told as `<agent>.<instance>: <reason>: <words>`."""
    refusals = (str(each).split(": ") for each in error.detail.get("refusals") or ())
    return any(len(parts) > 1 and parts[1] in PASSING for parts in refusals)
