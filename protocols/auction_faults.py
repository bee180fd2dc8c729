"""How an auction fails, in words: the typed errors that its caller gets."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.protocols.acts import Refusal
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import AgentLost, DeadlineExceeded, Draining, Fault, InDoubt, MeshError, NoBids

LOSSES = "losses"
"""Stands in the detail of `AgentLost`: how many winners the call has lost."""
SHOWN = 5
"""Reasons that stand in a message; all are in its detail."""


def reasons(candidates: Iterable[Candidate], refusals: Iterable[Refusal]) -> list[str]:
    """Why each of them will not do, those who offered nothing included."""
    judged = [f"{each.agent}.{each.instance}: {each.rejected_because}" for each in candidates]
    told = [f"{each.agent}.{each.instance}: {said(each)}" for each in refusals]
    return list(dict.fromkeys([*judged, *told]))


def said(refusal: Refusal) -> str:
    """A refusal as the objection it is: `<reason>: <words>`."""
    return f"{refusal.reason}: {refusal.message or 'it did not say why'}"


def no_bids(capability: str, rounds: int, why: list[str], losses: int, retry_after: float) -> MeshError:
    """Nobody acceptable. Where winners were lost before, that is the news, and a retry may help."""
    told = "; ".join(why[:SHOWN]) + (f"; and {len(why) - SHOWN} more" if len(why) > SHOWN else "")
    message = f"no acceptable bid for {capability} in {rounds} round(s): {told or 'nobody answered'}"
    if losses:
        return _after(losses, message, retry_after)
    return NoBids(message, retry_after=retry_after, detail={"refusals": why, "rounds": rounds})


def nobody(capability: str, rounds: int, losses: int) -> MeshError:
    """The server says that nobody listens to such calls."""
    message = f"nobody listens to calls for {capability}: no agent that is up offers it"
    if losses:
        return _after(losses, message)
    return NoBids(message, detail={"refusals": [], "rounds": rounds})


def lost(losses: int, winner: Candidate, why: str, *, spent: bool) -> AgentLost:
    """So many winners were lost that it is not awarded once more, or the budget of retries is `spent`."""
    message = f"{losses} winner(s) were lost; the last, {winner.key}, {why}"
    if spent:
        message += "; a tenth of the calls have been awarded again already, and this one is not"
    return AgentLost(message, detail={LOSSES: losses})


def _after(losses: int, message: str, retry_after: float | None = None) -> AgentLost:
    told = f"{losses} winner(s) were lost, and then: {message}"
    return AgentLost(told, retry_after=retry_after, detail={LOSSES: losses})


def in_doubt(record: AwardRecord, why: str) -> InDoubt:
    """It may be done at most once, and nobody can say whether it was."""
    return InDoubt(
        f"{record.capability} may be done at most once, and {record.winner} {why}: it may or may not have happened",
        detail={"award": record.award, "winner": record.winner},
    )


def interrupted(fault: Fault, winner: Candidate) -> bool:
    """Whether the winner itself went away over the work, rather than the work having failed: not where that had asked others
    who did, and could ask again (`retried`)."""
    own = fault.origin in (f"{winner.agent}.{winner.instance}", winner.process)
    return own and fault.code in (AgentLost.code, Draining.code) and "retried" not in fault.detail


def expired(capability: str, state: str) -> DeadlineExceeded:
    """Time is up."""
    return DeadlineExceeded(f"the deadline passed while the call for {capability} was {state}")
