"""The checker sees what it is there to see: each test shows it one thing that must never be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mesh.protocols.errors import Fault
from mesh.protocols.job_events import Completed, Entry, Event, Failed, OwnerClaimed, StepSucceeded, Submitted, Value
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import JobState, Recorded
from tests.chaos.checker import check
from tests.chaos.doom import Doom
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Handed
from tests.chaos.plans import BLIND, LEDGER
from tests.effect_target import EffectTarget

STREAM = "mesh_default_JOB_0"


class Story:
    """A journal in the making; to the checker it is the fleet, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.handed = [Handed("j", ["step"])]
        self.ledger = EffectTarget(folder / LEDGER)
        self.blind = EffectTarget(folder / BLIND, honours_keys=False)
        self.doom = Doom(folder)
        self.records: list[Recorded] = []
        self._state = JobState()

    def write(self, *events: Event, owner: str = "", epoch: int = 0, previous: int | None = None) -> Story:
        """One more entry, whatever the rules say of it."""
        before = self.records[-1].sequence if self.records else 0
        try:
            head = advance(self._state.head, "default", events)
        except KeyError:
            head = self._state.head or advance(None, "default", (_submitted(),))
        entry = Entry(
            id=f"e{before + 1}",
            job="j",
            tenant="default",
            head=head,
            events=events,
            epoch=epoch,
            owner=owner,
            previous=before if previous is None else previous,
            at=float(before + 1),
        )
        self.records.append(Recorded(entry, before + 1, float(before + 1)))
        self._state.apply(self.records[-1])
        return self

    def check(self) -> None:
        """Ask the checker."""
        sequences = {record.sequence for record in self.records}
        journals = {"j": self.records} if self.records else {}
        check(self, Evidence(journals=journals, sequences={STREAM: sequences}))  # type: ignore[arg-type]


def _submitted() -> Submitted:
    return Submitted(workflow="chain", version=1, input=Value(), digest="")


def _done(*keys: str) -> Completed:
    return Completed(output=Value(inline=msgspec.Raw(msgspec.json.encode(keys))))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Submitted, claimed by `one`, and its step is done."""
    story = Story(tmp_path).write(_submitted()).write(OwnerClaimed(process="one"), owner="one", epoch=1)
    return story.write(StepSucceeded(key="step", output=Value()), owner="one", epoch=1)


def test_a_story_without_a_fault_passes(story: Story) -> None:
    story.write(_done("step"), owner="one", epoch=1).check()


def test_an_acknowledged_job_without_a_journal_is_lost(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="acknowledged and has no journal"):
        Story(tmp_path).check()


def test_a_job_that_does_not_end_is_not_accounted_for(story: Story) -> None:
    with pytest.raises(AssertionError, match="is running after 1 owners"):
        story.check()


def test_another_result_than_the_right_one_is_wrong(story: Story) -> None:
    with pytest.raises(AssertionError, match="gave"):
        story.write(_done("another"), owner="one", epoch=1).check()


def test_an_acknowledged_append_that_is_not_stored_is_lost(story: Story) -> None:
    story.write(_done("step"), owner="one", epoch=1)
    (story.folder / "one.acked").write_text(f"{STREAM} 99 e99 mesh.default.job.default.0.j\n")
    with pytest.raises(AssertionError, match="acknowledged and not stored"):
        story.check()


def test_an_acknowledged_append_in_whose_place_another_stands_is_lost(story: Story) -> None:
    story.write(_done("step"), owner="one", epoch=1)
    (story.folder / "one.acked").write_text(f"{STREAM} 2 another mesh.default.job.default.0.j\n")
    with pytest.raises(AssertionError, match="something else stands there"):
        story.check()


def test_who_never_owned_the_job_may_not_write_in_its_owners_epoch(story: Story) -> None:
    story.write(StepSucceeded(key="other", output=Value()), owner="two", epoch=1)
    with pytest.raises(AssertionError, match="entry 4 by two in epoch 1 is void"):
        story.write(_done("step"), owner="one", epoch=1).check()


def test_two_claims_of_one_epoch_are_never_stored(story: Story) -> None:
    story.write(OwnerClaimed(process="two"), owner="two", epoch=1, previous=1)
    with pytest.raises(AssertionError, match="is void, and its author had not been fenced"):
        story.write(_done("step"), owner="one", epoch=1).check()


def test_a_fenced_owner_may_have_written_what_counts_for_nothing(story: Story) -> None:
    story.write(OwnerClaimed(process="two"), owner="two", epoch=2)
    story.write(StepSucceeded(key="late", output=Value()), owner="one", epoch=1)
    story.write(_done("step"), owner="two", epoch=2).check()


def test_the_owner_itself_writes_nothing_that_counts_for_nothing(story: Story) -> None:
    story.write(StepSucceeded(key="step", output=Value()), owner="one", epoch=1)
    with pytest.raises(AssertionError, match="cannot follow for step"):
        story.write(_done("step"), owner="one", epoch=1).check()


def test_nothing_follows_the_end(story: Story) -> None:
    story.write(_done("step"), owner="one", epoch=1)
    fault = Fault(code="late", error_class="semantic", message="too late")
    with pytest.raises(AssertionError, match="'failed' cannot follow in state completed"):
        story.write(Failed(fault=fault), owner="one", epoch=1).check()


def test_an_effect_that_was_done_twice_is_seen(story: Story) -> None:
    story.blind.ask("j/step")
    story.blind.ask("j/step")
    with pytest.raises(AssertionError, match="done 2 times at blind"):
        story.write(_done("step"), owner="one", epoch=1).check()
