"""What `mesh job show` and `mesh submit` say of a job: how long its steps took, what it waits for, and what to type."""

from __future__ import annotations

import pytest

from mesh.cli import dlq
from mesh.cli import job as job_command
from mesh.cli.approvals import refuse_answered
from mesh.cli.awaited import awaits_somebody, waits
from mesh.cli.exits import BadInput
from mesh.cli.options import Options
from mesh.cli.progress import _paused
from mesh.protocols.constraints import Usage
from mesh.protocols.dead_letters import Closed
from mesh.protocols.errors import Refused
from mesh.protocols.job_events import JobHead, WaitOpened, WaitResolved
from mesh.protocols.job_state import JobState
from mesh.protocols.job_step_state import StepState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.policies import switch_key


def test_a_step_whose_result_alone_is_journaled_took_as_long_as_it_says() -> None:
    step = StepState(key="draft", started_at=10.0, ended_at=10.0, usage=Usage(duration=5.0))
    assert step.seconds == 5.0


def test_a_step_took_at_least_as_long_as_lies_between_its_entries() -> None:
    step = StepState(key="draft", started_at=10.0, ended_at=13.0, usage=Usage(duration=2.0))
    assert step.seconds == 3.0


def test_a_job_tells_which_signal_and_which_child_it_waits_for_and_awaits_nobody() -> None:
    state = JobState(job="jaaa", head=JobHead(workflow="w", version=1, tenant="t", state="waiting"))
    for opened in (
        WaitOpened(key="go", kind="signal", name="go"),
        WaitOpened(key="page", kind="child", name="page", child="jbbb"),
    ):
        state.waits[opened.key] = WaitState(opened=opened, opened_at=1.0)
    told = "\n".join(waits(state))
    assert "mesh job signal jaaa go VALUE" in told
    assert "mesh job show jbbb" in told
    assert not awaits_somebody(state)


def test_a_state_that_no_job_is_ever_in_is_bad_input_and_the_message_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="parked"):
        job_command._check_state("sleeping")


def test_what_a_job_has_used_is_told_with_its_units() -> None:
    assert job_command._usage({"duration": 0.00294999, "money": 0.0}) == "0.00295 s of work"
    assert job_command._usage({}) == "nothing"


def test_whoever_answers_too_late_is_told_who_was_first() -> None:
    opened = WaitOpened(key="page", kind="approval", name="page.publish")
    answer = WaitResolved(key="page", how="approved", by="Ada", reason="fine")
    state = JobState(job="jaaa")
    state.waits["page"] = WaitState(opened=opened, opened_at=1.0, answer=answer, resolved_at=2.0)
    with pytest.raises(Refused, match=r"was approved by Ada at .*: fine"):
        refuse_answered(state, "")
    refuse_answered(state, "another")
    state.waits["later"] = WaitState(opened=opened, opened_at=1.0)
    refuse_answered(state, "")


def test_a_letter_that_was_redriven_cannot_be_dropped_and_the_command_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = Closed(letter="dead.1", how="redriven", by="Ada", at=1.0, job="jaaa")
    dlq.tell({"dead.1": closed}, Options(), "redriven")
    with pytest.raises(Refused, match="was redriven before, by Ada"):
        dlq.tell({"dead.1": closed}, Options(), "dropped")
    assert "jaaa" in capsys.readouterr().out


def test_who_follows_a_job_that_an_operator_holds_is_told_what_to_type() -> None:
    opened = WaitOpened(key="pack/~killed#1", kind="killed", name=switch_key("capability", "pay.*"))
    assert [line.text for line in _paused(opened, "j1")] == [
        "  pack/~killed#1: waits to be allowed: `mesh allow capability 'pay.*'`"
    ]
