"""The fold of a journal: whatever is stored, the state follows the rules."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.protocols.constraints import Usage
from mesh.protocols.errors import Fault, JournalCorrupt
from mesh.protocols.job_events import (
    Completed,
    Entry,
    Event,
    Failed,
    JobHead,
    OwnerClaimed,
    OwnerReleased,
    Progressed,
    StepFailed,
    StepInDoubt,
    StepStarted,
    StepSucceeded,
    Submitted,
    Unknown,
    Value,
    decode_entry,
    encode_entry,
)
from mesh.protocols.job_head import advance
from mesh.protocols.job_rules import STEP_TRANSITIONS, TERMINAL, TRANSITIONS
from mesh.protocols.job_state import JobState, Recorded, fold
from mesh.protocols.transitions import describe, terminal

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FAULT = Fault(code="refused", error_class="semantic", message="no")
SUBMITTED = Submitted(workflow="w", version=1, input=Value(), digest="d", received_at=5.0)
HEAD = JobHead(workflow="w", version=1, tenant="default", state="submitted")

events: st.SearchStrategy[Event] = st.one_of(
    st.just(SUBMITTED),
    st.sampled_from(["a", "b"]).map(lambda who: OwnerClaimed(process=who)),
    st.just(OwnerReleased(reason="draining")),
    st.sampled_from(["x", "y"]).map(lambda key: StepStarted(key=key, name="n", kind="call", digest="d")),
    st.sampled_from(["x", "y"]).map(lambda key: StepSucceeded(key=key, output=Value(), usage=Usage(tokens_in=1))),
    st.sampled_from(["x", "y"]).map(lambda key: StepFailed(key=key, fault=FAULT)),
    st.sampled_from(["x", "y"]).map(lambda key: StepInDoubt(key=key, reason="crash")),
    st.just(Progressed(text="half")),
    st.just(Completed(output=Value())),
    st.just(Failed(fault=FAULT)),
)


@st.composite
def journals(draw: st.DrawFn) -> list[Recorded]:
    """Journals as storms could leave them: mostly well placed, some entries misplaced, stale or senseless."""
    state, records = JobState(), []
    for number in range(draw(st.integers(1, 25))):
        chosen = (
            tuple(draw(st.lists(events, min_size=1, max_size=3))) if number or draw(st.booleans()) else (SUBMITTED,)
        )
        claims = [event.process for event in chosen if isinstance(event, OwnerClaimed)]
        epoch = state.epoch + bool(claims) + draw(st.sampled_from([0, 0, 0, 0, -1, 1]))
        owner = claims[0] if claims else state.head.owner if state.head else ""
        owner = draw(st.sampled_from([owner, owner, owner, "a", "b"]))
        entry = Entry(
            id=f"e{number}",
            job="j1",
            tenant="default",
            head=HEAD,
            events=chosen,
            epoch=epoch,
            owner=owner,
            previous=state.sequence - draw(st.sampled_from([0, 0, 0, 0, 1])),
        )
        if not state.objection(entry):
            entry = msgspec.structs.replace(entry, head=advance(state.head, entry.tenant, entry.events))
        recorded = Recorded(entry, 10 + number * 3, 100.0 + number)
        state.apply(recorded)
        records.append(recorded)
    return records


@unhurried
@given(journals())
def test_folding_what_is_valid_gives_the_same_state_as_folding_everything(records: list[Recorded]) -> None:
    whole = fold(records)
    void = {each.sequence for each in whole.void}
    again = JobState()
    for recorded in records:
        if recorded.sequence in void:
            again.sequence = recorded.sequence
        else:
            assert again.apply(recorded)
    assert (again.head, again.steps, again.usage, again.epoch) == (whole.head, whole.steps, whole.usage, whole.epoch)


@unhurried
@given(journals())
def test_the_last_valid_entry_carries_the_head_of_the_fold(records: list[Recorded]) -> None:
    state = fold(records)
    void = {each.sequence for each in state.void}
    valid = [each for each in records if each.sequence not in void]
    assert (valid[-1].entry.head if valid else None) == state.head


@unhurried
@given(journals())
def test_terminal_states_absorb_everything(records: list[Recorded]) -> None:
    state = JobState()
    for recorded in records:
        before, was_over = state.head, state.terminal
        applied = state.apply(recorded)
        if was_over:
            assert not applied
            assert state.head == before


@unhurried
@given(journals())
def test_epochs_never_fall_and_rise_only_by_claims(records: list[Recorded]) -> None:
    state = JobState()
    for recorded in records:
        before = state.epoch
        if state.apply(recorded):
            claimed = any(isinstance(event, OwnerClaimed) for event in recorded.entry.events)
            assert state.epoch == before + claimed
    assert state.epoch == len(state.claims)


@unhurried
@given(journals())
def test_a_step_that_ended_keeps_its_outcome(records: list[Recorded]) -> None:
    state, ended = JobState(), {}
    for recorded in records:
        state.apply(recorded)
        for key, step in state.steps.items():
            if step.ended:
                assert ended.setdefault(key, (step.state, step.output)) == (step.state, step.output)


def entry(state: JobState, *chosen: Event, epoch: int = 0, owner: str = "a") -> Recorded:
    made = Entry(
        id="e", job="j1", tenant="t", head=HEAD, events=chosen, epoch=epoch, owner=owner, previous=state.sequence
    )
    return Recorded(made, state.sequence + 1, 50.0)


def test_a_second_result_of_a_step_is_void() -> None:
    state = JobState()
    state.apply(entry(state, SUBMITTED))
    state.apply(entry(state, OwnerClaimed(process="a"), epoch=1))
    assert state.apply(entry(state, StepSucceeded(key="x", output=Value(inline=msgspec.Raw(b"1"))), epoch=1))
    assert not state.apply(entry(state, StepSucceeded(key="x", output=Value(inline=msgspec.Raw(b"2"))), epoch=1))
    assert state.steps["x"].output == Value(inline=msgspec.Raw(b"1"))
    assert state.void[0].reason == "'step.succeeded' cannot follow for step 'x', which is succeeded"


def test_a_deposed_owner_cannot_add_anything() -> None:
    state = JobState()
    state.apply(entry(state, SUBMITTED))
    state.apply(entry(state, OwnerClaimed(process="a"), epoch=1))
    state.apply(entry(state, OwnerClaimed(process="b"), epoch=2, owner="b"))
    assert not state.apply(entry(state, Completed(output=Value()), epoch=1))
    assert not state.apply(entry(state, Completed(output=Value()), epoch=2))
    assert state.status == "running"
    assert state.head
    assert state.head.owner == "b"


def test_a_handed_back_job_waits_for_an_owner() -> None:
    state = JobState()
    state.apply(entry(state, SUBMITTED))
    state.apply(entry(state, OwnerClaimed(process="a"), epoch=1))
    state.apply(entry(state, OwnerReleased(reason="draining"), epoch=1))
    assert state.head
    assert (state.status, state.head.owner) == ("submitted", "")
    assert not state.apply(entry(state, Progressed(text="late"), epoch=1))


def test_the_server_dates_a_job_that_did_not_come_through_the_stream() -> None:
    state = JobState()
    state.apply(entry(state, msgspec.structs.replace(SUBMITTED, received_at=0.0)))
    assert state.head
    assert state.head.submitted_at == 50.0


def test_an_event_of_a_later_release_is_kept_and_marks_the_job_unreadable() -> None:
    state = JobState()
    state.apply(entry(state, SUBMITTED))
    state.apply(entry(state, OwnerClaimed(process="a"), epoch=1))
    known = entry(state, Progressed(text="x"), epoch=1).entry
    data = (
        encode_entry(known)
        .replace(b'"type":"progressed"', b'"type":"wait.opened"')
        .replace(b'"submitted"', b'"waiting"')
    )
    later = decode_entry(data)
    assert isinstance(later.events[0], Unknown)
    assert state.apply(Recorded(later, state.sequence + 1, 51.0))
    assert (state.unreadable, state.status) == ("wait.opened", "waiting")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'{"id":1}', b"[" * 5000, b"\xff", b'{"events":[{"type":3}]}'])
def test_what_is_no_entry_is_a_corrupt_journal(data: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        decode_entry(data)


@unhurried
@given(journals())
def test_entries_survive_the_wire(records: list[Recorded]) -> None:
    for recorded in records:
        assert decode_entry(encode_entry(recorded.entry)) == recorded.entry


def test_the_table_names_every_event_and_ends_in_the_terminal_states() -> None:
    named = {tag for steps in TRANSITIONS.values() for tag in steps}
    assert named == {str(kind.__struct_config__.tag) for kind in get_args(Event)} - {"unknown"}
    assert all(set(TRANSITIONS[each].values()) == {each} for each in TERMINAL)
    assert terminal(STEP_TRANSITIONS) == {"succeeded", "failed"}
    assert "running --> completed" in describe(TRANSITIONS, "new")
