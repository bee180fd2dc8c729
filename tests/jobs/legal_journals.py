"""Journals that could have been: every event where the tables allow it, written by whoever may, void entries among them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import strategies as st

from mesh.protocols.acts import Bid
from mesh.protocols.artifacts import Artifact, Provenance
from mesh.protocols.awards import AwardRecord, Candidate, Score
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.job_events import (
    ArtifactPut,
    Awarded,
    Cancelled,
    CancelRequested,
    Compensated,
    CompFailed,
    Completed,
    CompStarted,
    CompSucceeded,
    DeadLettered,
    Entry,
    Event,
    Failed,
    FlagRead,
    InboxPassed,
    JobHead,
    OwnerClaimed,
    OwnerReleased,
    Parent,
    Parked,
    PatchMarker,
    Paused,
    PauseRequested,
    Progressed,
    Resumed,
    SignalReceived,
    Snapshot,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
    Submitted,
    Suspended,
    Value,
    WaitOpened,
    WaitResolved,
    Woken,
)
from mesh.protocols.job_head import advance
from mesh.protocols.job_rules import TRANSITIONS
from mesh.protocols.job_state import JobState, Recorded, seal
from mesh.protocols.references import Reference

FAULT = Fault(code="refused", error_class="semantic", message="no", detail={"reason": "none"})
VALUE = Value(inline=msgspec.Raw(b'{"a":1}'))
LARGE = Value(ref=Reference(digest=f"sha256:{'0' * 64}", size=70_000))
SUBMITTED = Submitted(
    workflow="w", version=1, input=VALUE, digest="d", deadline=60.0, key="k", correlation="c",
    constraints=Constraints(boundary="eu", labels={"gpu": "yes"}), parent=Parent(tenant="t", job="j0", wait="child"),
)  # fmt: skip
WINNER = Candidate(agent="a", instance="1", process="p", bid=Bid(price=0.1), score=Score(cost=0.1))
AWARD = AwardRecord(
    award="a1", conversation="c", capability="x.y", mode="standing", winner=WINNER.key, reason="the only one", at=5.0,
    effect="costly", candidates=(WINNER,),
)  # fmt: skip
HEAD = JobHead(workflow="w", version=1, tenant="t", state="submitted")
OWN = {
    "owner.claimed": lambda key, n: OwnerClaimed(process="ab"[n % 2], incarnation=f"i{n}"),
    "owner.released": lambda key, n: OwnerReleased(reason="leaving"),
    "owner.suspended": lambda key, n: Suspended(),
    "parked": lambda key, n: Parked(key="~replay", reason="look"),
    "paused": lambda key, n: Paused(),
    "woken": lambda key, n: Woken(reason="deadline"),
    "step.started": lambda key, n: StepStarted(
        key=key, name="n", kind="call", digest=f"d{n}", award=AWARD if n % 2 else None, attempt=n
    ),
    "step.retried": lambda key, n: StepRetried(
        key=key, attempt=n, fault=FAULT, onward=("retry", "back_off", "vary", "fall_back")[n % 4], number=n, what="w",
        until=50.0 * n, name="n",
    ),
    "award": lambda key, n: Awarded(key=key, award=AWARD),
    "step.succeeded": lambda key, n: StepSucceeded(
        key=key, output=LARGE if n % 2 else VALUE, usage=Usage(tokens_in=n, money=0.25), stamps=Stamps(agent_version="1"), by="a.1",
    ),
    "step.failed": lambda key, n: StepFailed(key=key, fault=FAULT, name="f", kind="local", digest="dd"),
    "step.in_doubt": lambda key, n: StepInDoubt(key=key, reason="crash"),
    "artifact.put": lambda key, n: ArtifactPut(
        artifact=Artifact(
            id=f"j1-{key}", kind="k.x", provenance=Provenance(agent="w", version="1", job="j1", step=key), content={"n": n}
        )
    ),
    "progressed": lambda key, n: Progressed(text=f"at {n}", step=key if n % 2 else ""),
    "wait.opened": lambda key, n: WaitOpened(
        key=key, kind="approval", name="go", digest="d", about=VALUE, risk="high", until=100.0 + n
    ),
    "wait.resolved": lambda key, n: WaitResolved(key=key, how="approved", value=VALUE, by="ann", at=60.0, inbox=n),
    "signal.received": lambda key, n: SignalReceived(name="s", inbox=n, value=VALUE, by="bob"),
    "inbox.passed": lambda key, n: InboxPassed(inbox=n, message="signal", reason="late"),
    "cancel.requested": lambda key, n: CancelRequested(by="ann", reason="enough", inbox=n),
    "pause.requested": lambda key, n: PauseRequested(by="ann", now=True, inbox=n),
    "resumed": lambda key, n: Resumed(by="ann", inbox=n),
    "comp.started": lambda key, n: CompStarted(key=key, attempt=n),
    "comp.succeeded": lambda key, n: CompSucceeded(key=key),
    "comp.failed": lambda key, n: CompFailed(key=key, fault=FAULT),
    "patch.marker": lambda key, n: PatchMarker(name=f"p{n % 3}"),
    "flag.read": lambda key, n: FlagRead(name=f"f{n % 3}", value=(True, n, 0.5, "x")[n % 4]),
    "completed": lambda key, n: Completed(output=VALUE),
    "failed": lambda key, n: Failed(fault=FAULT),
    "cancelled": lambda key, n: Cancelled(fault=FAULT),
    "compensated": lambda key, n: Compensated(fault=FAULT),
    "dead_lettered": lambda key, n: DeadLettered(fault=FAULT, letter="l"),
}  # fmt: skip
MAKERS: dict[str, Callable[[str, int], Event]] = OWN  # type: ignore[assignment]
RARE = frozenset({"completed", "failed", "cancelled", "compensated", "dead_lettered"})


@st.composite
def legal_journals(draw: st.DrawFn, most: int = 30) -> list[Recorded]:
    """A journal of up to `most` entries: nearly all of them fit, some are void, some hold a snapshot of what was before."""
    state, records = JobState(), []
    for number in range(draw(st.integers(2, most))):
        sequence = state.sequence + draw(st.integers(1, 3))
        record = Recorded(draw(_entries(state, number)), sequence, 100.0 + number)
        state.apply(record)
        records.append(record)
    return records


@st.composite
def _entries(draw: st.DrawFn, state: JobState, number: int) -> Entry:
    if state.head is None:
        return _entry(state, number, (SUBMITTED,), 0, "")
    if state.status == "running" and draw(st.integers(0, 5)) == 0:
        return _entry(state, number, (Snapshot(state=Value(inline=seal(state))),), state.epoch, state.head.owner)
    events: list[Event] = []
    head = state.head
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        tags = sorted(set(TRANSITIONS[head.state]) & set(MAKERS))
        tags = [each for each in tags if each not in RARE or draw(st.integers(0, 9)) == 0]
        if not tags:
            break
        event = MAKERS[draw(st.sampled_from(tags))](draw(st.sampled_from("xyz")), draw(st.integers(1, 9)))
        fits = _fits(state, number, (*events, event))
        if fits:
            events.append(event)
            head = advance(state.head, "t", tuple(events))
        if isinstance(event, OwnerClaimed):
            break
    chosen = tuple(events) or (Progressed(text="late"),)
    return _written(state, number, chosen, stale=draw(st.integers(0, 11)) == 0)


def _fits(state: JobState, number: int, events: tuple[Event, ...]) -> bool:
    return not state.objection(_written(state, number, events, stale=False))


def _written(state: JobState, number: int, events: tuple[Event, ...], *, stale: bool) -> Entry:
    claims = [event.process for event in events if isinstance(event, OwnerClaimed)]
    owner = claims[0] if claims else state.head.owner if state.head else ""
    return _entry(state, number, events, state.epoch + len(claims) - stale, owner)


def _entry(state: JobState, number: int, events: tuple[Event, ...], epoch: int, owner: str) -> Entry:
    entry = Entry(
        id=f"e{number}", job="j1", tenant="t", head=HEAD, events=events, epoch=epoch, owner=owner, previous=state.sequence,
        at=0.0 if number % 3 else 150.0 + number,
    )  # fmt: skip
    if state.objection(entry):
        return entry
    return msgspec.structs.replace(entry, head=advance(state.head, "t", events))
