"""A message that was on its way for long may be stored twice: the copy changes nothing, whoever drives the job by then."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_stage import Stage

from mesh.jobs.journals.journals import Journals
from mesh.jobs.waiting.echoes import Heard
from mesh.jobs.waiting.inbox import Inbox
from mesh.protocols.job_events import InboxPassed, PauseRequested
from mesh.protocols.job_inbox import Pause, Resume, Said, SendSignal
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids, Stored

PAUSE, RESUME = Pause(by="ann"), Resume(by="bob")


def message(sequence: int, message_id: str, said: Said = PAUSE) -> Stored:
    headers = {"Nats-Msg-Id": message_id} if message_id else {}
    return Stored(
        subject="inbox", data=msgspec.json.encode(said), sequence=sequence, time=float(sequence), headers=headers
    )


@given(st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=20))
def test_what_was_said_first_is_no_echo_and_all_that_follows_is(ids: list[str]) -> None:
    heard = Heard()
    for sequence, each in enumerate(ids, 1):
        first = heard.add(message(sequence, each))
        assert first == (ids.index(each) + 1 if each else sequence)
        assert heard.add(message(sequence, each)) == first
    assert heard.upto == len(ids)


@pytest.mark.virtual
@pytest.mark.parametrize("successor", [False, True])
async def test_a_copy_of_a_pause_behind_the_resume_that_answered_it_is_passed_over(
    clock: Clock, ids: Ids, successor: bool
) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    connection = stage.server.connect("owner")
    journals = Journals(connection.store, stage.subjects)
    subject = stage.subjects.inbox("default", "j1")
    for said, name in ((PAUSE, "k"), (RESUME, "r"), (PAUSE, "k"), (PAUSE, "another")):
        await connection.store.append(subject, msgspec.json.encode(said), message_id=name)
        await clock.sleep(1.0)
    inbox = Inbox(journals, clock)
    events = []
    state = JobState(job="j1")
    for number, stored in enumerate(await inbox.unread(state, "default")):
        if successor and number == 2:
            inbox = Inbox(journals, clock)
            state.inbox = stored.sequence - 1
        events.append((await inbox.decision(state, "default", stored))()[0])
    assert isinstance(events[2], InboxPassed)
    assert (events[2].message, events[2].by) == ("pause", "ann")
    assert "copy of message" in events[2].reason
    assert isinstance(events[0], PauseRequested)
    assert isinstance(events[3], PauseRequested), "another id is another pause"


@pytest.mark.virtual
async def test_a_signal_that_is_stored_twice_is_taken_once(clock: Clock, ids: Ids) -> None:
    stage = Stage(clock, ids)
    await stage.submit()
    connection = stage.server.connect("owner")
    for _ in range(2):
        said = msgspec.json.encode(SendSignal(name="paid"))
        await connection.store.append(stage.subjects.inbox("default", "j1"), said, message_id="k")
        await clock.sleep(1.0)
    inbox, state = Inbox(Journals(connection.store, stage.subjects), clock), JobState(job="j1")
    kinds = [
        type((await inbox.decision(state, "default", each))()[0]).__name__
        for each in await inbox.unread(state, "default")
    ]
    assert kinds == ["SignalReceived", "InboxPassed"]
