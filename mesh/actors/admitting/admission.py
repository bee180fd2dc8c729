"""What a message must pass before it may wait for an actor: the last point at which to refuse it costs nothing.

    it is worth it          the actor takes work, nobody killed it, its caller still waits, the chain of calls is sound
    the process bears it    `Pressure`: its loop is not late, its mailboxes together are not too full
    it would be in time     `Flow`: the wait that is measured and the call itself fit into what is left of its deadline
    there is room           `Mailbox`, where tenants and priorities are told apart; somebody else's room, if that is fairer

Who is refused, or shed, is told `Overloaded` with `begun: false` and a `retry_after`, and is counted: `pressed`, `late`, `shed`,
`overloaded` (by the dispatch). Where nothing waits, only the first two are looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from mesh.actors.admitting.killing import killed_work
from mesh.actors.admitting.pressure import LEAST
from mesh.actors.exchanging.lineage import MAX_HOPS
from mesh.actors.running.work import Work
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import AgentLost, CallCycle, DeadlineExceeded, Draining, MeshError, Overloaded, TooManyHops

if TYPE_CHECKING:
    from mesh.actors.running.actor import Actor


def admit(actor: Actor, work: Work) -> None:
    """Put it into the actor's mailbox.

    Raises:
        Draining · AgentLost · Killed · DeadlineExceeded · CallCycle · TooManyHops: it is not worth queueing.
        Overloaded: there is no room, or no time; `retry_after` is an estimate.
    """
    check_worth(actor, work)
    pressure, now = actor.peer.pressure, work.offered_at
    if now >= pressure.look_at:
        pressure.look(now)
    if pressure.takes < LEAST:
        _check_pressure(actor, work)
    if actor.mailbox:
        _check_time(actor, work)
    try:
        shed = actor.mailbox.put(work, actor)
    except Overloaded as error:
        error.retry_after = patience(actor, now)
        raise
    if shed is not None:
        _shed(actor, shed, now)


def check_worth(actor: Actor, work: Work) -> None:
    """Nothing, if it is worth being queued; it is stamped with when that was.

    Raises:
        Draining · AgentLost · Killed · DeadlineExceeded · CallCycle · TooManyHops.
    """
    state, peer = actor.supervision.state, actor.peer
    if state in ("draining", "stopped"):
        raise Draining(f"{actor.key} is going away")
    if state == "failed":
        raise AgentLost(f"{actor.key} crashed too often and was given up")
    if peer.policy.switches and (switch := killed_work(peer.policy, actor, work)) is not None:
        raise switch.error()
    work.offered_at = peer.clock.monotonic()
    if work.offered_at >= work.deadline.at:
        peer.count("expired", agent=actor.definition.name, where="offer")
        raise DeadlineExceeded(f"the deadline passed before {actor.key} could queue the message")
    envelope = work.envelope
    if actor.definition.name in envelope.chain:
        raise CallCycle(f"{actor.definition.name} is already waiting in {' → '.join(envelope.chain[:MAX_HOPS])[:500]}")
    if envelope.hops > MAX_HOPS:
        raise TooManyHops(
            f"the chain of calls is longer than {MAX_HOPS}: {' → '.join(envelope.chain[:MAX_HOPS])[:500]}"
        )


def hand_back(actor: Actor, work: Work, error: MeshError) -> Coroutine[Any, Any, None] | None:
    """It waited and is not begun: what was set aside for it is free again, and whoever waits for it is told. None: that was
    all, else await the rest. An answer that cannot leave, as while the server is away, is counted: others wait to be told."""
    if work.ration is not None:
        work.ration.cancel()
    try:
        answer = work.respond.failure(error, Usage())
    except MeshError as unsent:
        _unanswered(actor, unsent)
        return None
    return None if answer is None else _sent(actor, answer)


def patience(actor: Actor, now: float) -> float:
    """Seconds after which to come back, each a little later than the one before."""
    return actor.contended().retry_after(now, actor.tally.whole.latency, actor.capacity)


def _check_pressure(actor: Actor, work: Work) -> None:
    try:
        actor.peer.pressure.check(work, work.offered_at)
    except Overloaded:
        actor.peer.count("pressed", agent=actor.definition.name, why=actor.peer.pressure.why)
        raise


def _check_time(actor: Actor, work: Work) -> None:
    flow, now = actor.contended(), work.offered_at
    mean = actor.tally.of(work.handler.name)
    call, left = mean.latency if mean.handled else 0.0, work.deadline.at - now
    if flow.lets_in(len(actor.mailbox), call, left):
        return
    late = flow.late_by(actor.mailbox.ahead(work, actor) - actor.free, call, left, now)
    if late > 0:
        actor.peer.count("late", agent=actor.definition.name, tenant=work.envelope.tenant)
        raise Overloaded(
            f"{actor.key} would probably be {late:.2f} s too late: {len(actor.mailbox)} messages wait",
            retry_after=max(late, patience(actor, now)),
            detail={"late": round(late, 3), "waiting": len(actor.mailbox)},
        )


def _shed(actor: Actor, work: Work, now: float) -> None:
    """It waited, and has to make room for work that is more urgent, or for a tenant that has less than its share."""
    actor.peer.count("shed", agent=actor.definition.name, tenant=work.envelope.tenant)
    error = Overloaded(
        f"{actor.key} gave its place in the mailbox to work that is more urgent, or of a tenant that has less",
        retry_after=patience(actor, now), origin=actor.key, detail={"begun": False, "tenant": work.envelope.tenant},
    )  # fmt: skip
    answer = hand_back(actor, work, error)
    if answer is not None:
        actor.hooks.later(answer)


async def _sent(actor: Actor, answer: Awaitable[None]) -> None:
    try:
        await answer
    except MeshError as unsent:
        _unanswered(actor, unsent)


def _unanswered(actor: Actor, error: MeshError) -> None:
    actor.peer.count("unanswered", error=error.code, agent=actor.definition.name)
