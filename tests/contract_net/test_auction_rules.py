"""The initiator's machine by hand: one rule a test."""

from __future__ import annotations

import itertools
from random import Random
from typing import TypeVar

import msgspec
import pytest

from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Mode, Refusal, RefusalReason
from mesh.protocols.auction import Auction
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Effect
from mesh.protocols.selection import SelectionPolicy

C = TypeVar("C")
POLICY = SelectionPolicy()


def auction(
    mode: Mode = "broadcast", *, effect: Effect = "costly", deadline: float = 100.0, declines: int = POLICY.declines
) -> Auction:
    numbers = itertools.count(1)
    terms = m.Terms(conversation="talk", capability="do", deadline=deadline, effect=effect, mode=mode)
    policy = msgspec.structs.replace(POLICY, declines=declines)
    return Auction(terms, policy, Random(1), new_id=lambda: f"award-{next(numbers)}", wall=lambda: 0.0)


def bid(
    name: str, latency: float = 1.0, *, proposal: str | None = None, valid_for: float = 50.0, capacity: int = 1
) -> Candidate:
    return Candidate(
        agent="w",
        instance=name,
        process=name,
        bid=Bid(latency=latency, capacity=capacity),
        proposal=f"bid-{name}" if proposal is None else proposal,
        valid_for=valid_for,
    )


def strict(name: str) -> Candidate:
    """A proposal of somebody whose handler may do it once at most."""
    return msgspec.structs.replace(bid(name), effect="at_most_once")


def refusal(reason: RefusalReason, name: str = "a", **fields: object) -> Refusal:
    return Refusal(agent="w", instance=name, reason=reason, **fields)  # type: ignore[arg-type]


def only(commands: list[m.Command], kind: type[C]) -> C:
    [found] = [each for each in commands if isinstance(each, kind)]
    return found


def opened(machine: Auction, *bids: Candidate) -> list[m.Command]:
    """Everybody has answered with these proposals; the award is out."""
    machine.open(0.0)
    machine.handle(m.Called(frozenset(each.process for each in bids), known=len(bids)), 0.0)
    out: list[m.Command] = []
    for each in bids:
        out += machine.handle(m.Proposed(each.process, (each,)), 0.0)
    machine.handle(m.Sent("award-1"), 0.0)
    return out


def test_an_answer_that_comes_before_the_call_is_known_to_be_out_counts() -> None:
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Proposed("a", (bid("a"),)), 0.0)
    assert only(machine.handle(m.Called(frozenset({"a"})), 0.0), m.Award).winner.process == "a"


def test_the_window_closes_by_time_with_what_has_come() -> None:
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a", "b"})), 0.0)
    assert machine.handle(m.Proposed("a", (bid("a"),)), 0.1) == []
    assert machine.due == pytest.approx(POLICY.window)
    assert only(machine.handle(m.Ticked(), POLICY.window), m.Award).winner.process == "a"


def test_the_window_leaves_at_least_half_of_the_time_to_the_work() -> None:
    machine = auction(deadline=0.2)
    assert only(machine.open(0.0), m.Survey).window == pytest.approx(0.1)


def test_a_proposal_that_comes_late_is_rejected_as_late() -> None:
    machine = auction()
    opened(machine, bid("a"))
    late = only(machine.handle(m.Proposed("b", (bid("b"),)), 0.3), m.Reject)
    assert (late.candidate.process, late.reason) == ("b", "late")


def test_a_copy_of_a_proposal_that_came_in_time_is_not_late() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    assert machine.handle(m.Proposed("b", (bid("b", 2.0),)), 0.3) == []


def test_nobody_may_propose_for_another_process() -> None:
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a", "b"})), 0.0)
    machine.handle(m.Proposed("b", (bid("a", 0.1),)), 0.0)
    machine.handle(m.Proposed("a", (bid("a", 5.0),)), 0.0)
    assert machine.record is not None
    assert machine.record.won.bid.latency == 5.0


def test_a_decline_falls_to_the_next_best_and_the_decliner_is_listed_with_its_reason() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0), bid("c", 3.0))
    award = only(machine.handle(m.Declined("award-1", "a", refusal("capacity")), 0.1), m.Award)
    assert award.winner.process == "b"
    assert (award.record.number, award.record.award) == (2, "award-2")
    assert {each.process: each.rejected_because for each in award.record.candidates}["a"].startswith("capacity:")


def test_a_proposal_that_has_lapsed_is_passed_over() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0, valid_for=0.05), bid("c", 3.0))
    assert only(machine.handle(m.Declined("award-1", "a", refusal("capacity")), 0.1), m.Award).winner.process == "c"


def test_after_as_many_declines_of_standing_awards_as_the_policy_bears_instances_are_asked_first() -> None:
    machine = auction("standing", declines=2)
    machine.open(0.0)
    bids = tuple(bid(name, proposal="") for name in "abc")
    first = only(machine.handle(m.Called(candidates=bids, known=9), 0.0), m.Award)
    machine.handle(m.Sent(first.record.award), 0.0)
    second = only(
        machine.handle(m.Declined(first.record.award, first.winner.process, refusal("capacity")), 0.0), m.Award
    )
    machine.handle(m.Sent(second.record.award), 0.0)
    out = machine.handle(m.Declined(second.record.award, second.winner.process, refusal("capacity")), 0.0)
    assert only(out, m.Survey).mode == "directed"


def test_where_no_standing_bid_is_known_everybody_is_called() -> None:
    machine = auction("standing")
    machine.open(0.0)
    assert only(machine.handle(m.Called(), 0.0), m.Survey).mode == "broadcast"


def test_full_instances_are_asked_again_about_when_they_say() -> None:
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a"})), 0.0)
    machine.handle(m.Proposed("a", refusals=(refusal("capacity", retry_after=0.7),)), 0.0)
    assert machine.state == "open"
    assert machine.due is not None
    assert 0.35 <= machine.due <= 1.05
    assert only(machine.handle(m.Ticked(), machine.due), m.Survey).round == 2


def test_room_that_becomes_free_ends_the_pause() -> None:
    machine = auction("standing")
    machine.open(0.0)
    machine.handle(m.Called(candidates=(bid("a", proposal="", capacity=0),), known=1), 0.0)
    assert machine.paused
    assert only(machine.handle(m.Freed(), 0.01), m.Survey).mode == "standing", "its bid is fresh now: no need to ask"


def test_a_no_that_stays_a_no_is_not_asked_again() -> None:
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a"})), 0.0)
    machine.handle(m.Proposed("a", refusals=(refusal("labels"),)), 0.0)
    assert machine.state == "no-bids"


def test_rounds_are_bounded() -> None:
    machine = auction()
    machine.open(0.0)
    now, rounds = 0.0, 0
    while not machine.over:
        rounds += 1
        machine.handle(m.Called(frozenset({"a"})), now)
        machine.handle(m.Proposed("a", refusals=(refusal("capacity"),)), now)
        now = machine.due or now
        machine.handle(m.Ticked(), now)
    assert machine.state == "no-bids"
    assert rounds >= POLICY.rounds
    assert POLICY.busy / 2 <= now <= 2 * POLICY.busy


def test_losers_are_told_when_the_winner_has_confirmed_and_not_before() -> None:
    machine = auction()
    assert not [each for each in opened(machine, bid("a"), bid("b", 2.0)) if isinstance(each, m.Reject)]
    reject = only(machine.handle(m.Confirmed("award-1", "a"), 0.1), m.Reject)
    assert (reject.candidate.process, reject.reason) == ("b", "outbid")
    assert machine.handle(m.Confirmed("award-1", "a"), 0.2) == []


def test_nobody_but_the_winner_can_confirm_finish_or_decline() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    for event in (
        m.Confirmed("award-1", "b"),
        m.Succeeded("award-1", "b"),
        m.Declined("award-1", "b", refusal("capacity")),
        m.Succeeded("award-9", "a"),
    ):
        assert machine.handle(event, 0.1) == []
    assert machine.state == "awarded"


def test_no_award_is_given_up_before_it_was_sent() -> None:
    """The ledger takes its time."""
    machine = auction()
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a"})), 0.0)
    machine.handle(m.Proposed("a", (bid("a"),)), 0.0)
    assert machine.handle(m.Ticked(), 50.0) == []
    assert machine.state == "awarded"


def test_a_deadline_before_the_award_was_sent_is_no_doubt() -> None:
    machine = auction(effect="at_most_once")
    machine.open(0.0)
    machine.handle(m.Called(frozenset({"a"})), 0.0)
    machine.handle(m.Proposed("a", (bid("a"),)), 0.0)
    machine.handle(m.Ticked(), 100.0)
    assert machine.outcome is not None
    assert machine.outcome.fault is not None
    assert machine.outcome.fault.code == "deadline-exceeded"


def test_a_silent_winner_is_probed_twice_then_lost_and_told_to_stop() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    assert only(machine.handle(m.Ticked(), 0.25), m.Probe).attempt == 2
    assert only(machine.handle(m.Ticked(), 0.5), m.Probe).attempt == 3
    out = machine.handle(m.Ticked(), 0.75)
    assert only(out, m.CancelAward).winner.process == "a"
    assert only(out, m.Award).winner.process == "b"
    assert not only(out, m.Settle).kept


def test_a_winner_that_answers_a_probe_keeps_its_award() -> None:
    machine = auction()
    opened(machine, bid("a"))
    machine.handle(m.Ticked(), 0.25)
    machine.handle(m.Confirmed("award-1", "a", running=False), 0.3)
    assert machine.state == "confirmed"
    assert machine.due == pytest.approx(0.3 + POLICY.check)


def test_after_an_outage_of_the_server_the_winner_has_time_to_find_back() -> None:
    machine = auction(effect="at_most_once")
    opened(machine, bid("a"))
    machine.handle(m.Confirmed("award-1", "a"), 0.1)
    probe = only(machine.handle(m.Suspected(), 1.0), m.Probe)
    machine.handle(m.Vanished("award-1", probe.attempt), 1.0)
    assert machine.state == "running"
    machine.handle(m.Succeeded("award-1", "a"), 1.5)
    assert machine.state == "done"


def test_a_winner_interrupted_by_its_own_end_is_lost_and_a_handler_that_met_one_has_failed() -> None:
    fault = {"code": "draining", "error_class": "transient", "message": "stopped"}
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    own = msgspec.convert({**fault, "origin": "w.a"}, m.Fault)
    assert only(machine.handle(m.Faulted("award-1", "a", own), 0.1), m.Award).winner.process == "b"
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    machine.handle(m.Faulted("award-1", "a", msgspec.convert({**fault, "origin": "another.x"}, m.Fault)), 0.1)
    assert machine.state == "failed"


def test_a_newer_owner_of_the_job_ends_it_fenced() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    machine.handle(m.Declined("award-1", "a", refusal("fenced")), 0.1)
    assert machine.outcome is not None
    assert machine.outcome.fault is not None
    assert machine.outcome.fault.code == "fenced"


def test_a_resumed_award_is_sent_as_a_copy_to_its_winner_only() -> None:
    before = auction()
    opened(before, bid("a"), bid("b", 2.0))
    assert before.record is not None
    after = auction()
    probe = only(after.resume(before.record, 50.0), m.Probe)
    assert (probe.winner.process, probe.attempt, probe.record.award) == ("a", 2, "award-1")
    after.handle(m.Succeeded("award-1", "a"), 50.1)
    assert after.state == "done"


def test_a_resumed_award_whose_winner_is_gone_is_called_again() -> None:
    before = auction()
    opened(before, bid("a"))
    assert before.record is not None
    after = auction()
    after.resume(before.record, 50.0)
    assert only(after.handle(m.Vanished("award-1", 2), 50.1), m.Survey).mode == "broadcast"


def test_a_cancel_stops_the_winner_and_rejects_the_others() -> None:
    machine = auction()
    opened(machine, bid("a"), bid("b", 2.0))
    out = machine.handle(m.CancelAsked("enough"), 0.1)
    assert only(out, m.CancelAward).winner.process == "a"
    assert only(out, m.Reject).reason == "cancelled"
    assert machine.state == "cancelled"
    assert machine.handle(m.CancelAsked("again"), 0.2) == []


def test_an_at_most_once_winner_that_does_not_know_its_award_leaves_it_in_doubt() -> None:
    """It may have been restarted after it did the work."""
    machine = auction(effect="at_most_once")
    opened(machine, bid("a"), bid("b", 2.0))
    machine.handle(m.Ticked(), 0.25)
    machine.handle(m.Declined("award-1", "a", refusal("unknown")), 0.3)
    assert machine.outcome is not None
    assert machine.outcome.fault is not None
    assert machine.outcome.fault.code == "in-doubt"


def test_a_proposal_knows_its_effect_better_than_a_call_for_which_nobody_was_listed() -> None:
    machine = auction(effect="costly")
    [award] = [each for each in opened(machine, strict("a"), bid("b", 2.0)) if isinstance(each, m.Award)]
    assert award.record.effect == "at_most_once"
    machine.handle(m.Ticked(), 0.25)
    machine.handle(m.Declined("award-1", "a", refusal("unknown")), 0.3)
    assert machine.outcome is not None
    assert machine.outcome.fault is not None
    assert machine.outcome.fault.code == "in-doubt"


def test_an_at_most_once_winner_that_refuses_to_begin_is_certain_and_the_next_best_gets_it() -> None:
    machine = auction(effect="at_most_once")
    opened(machine, bid("a"), bid("b", 2.0))
    assert only(machine.handle(m.Declined("award-1", "a", refusal("capacity")), 0.3), m.Award).winner.process == "b"
