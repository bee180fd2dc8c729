"""What is remembered of bidders, and what is believed of it: whatever happens, within bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract_net import track_record
from mesh.contract_net.track_record import Bidder, TrackRecord
from mesh.protocols.acts import Bid
from mesh.protocols.conduct import GRAIN, Conduct, Forgetting
from mesh.protocols.learned import HEARD, OWN, PRIOR, WORD, Evidence, Learned, believed, departs, learn
from mesh.protocols.newcomers import bonus
from mesh.protocols.scoring import cost
from mesh.protocols.selection import SelectionPolicy

SECOND = Bid(latency=1.0)
amounts = st.floats(0.0, 1e4)
happenings = st.lists(
    st.tuples(
        st.sampled_from(["delivered", "failed", "broken", "revoked"]),
        amounts,
        amounts,
        amounts,
        st.floats(0.0, 1.0),
    ),
    max_size=60,
)


def record_of(happened: list[tuple[str, float, float, float, float]]) -> Conduct:
    conduct, forgetting = Conduct(), Forgetting()
    for what, seconds, money, promised, success in happened:
        conduct.fade(forgetting.kept(seconds))
        bid = Bid(latency=promised, price=min(money, 1.0), success=success)
        if what == "delivered":
            conduct.deliver(bid, seconds, money)
        elif what == "failed":
            conduct.fail(bid)
        elif what == "broken":
            conduct.breach()
        else:
            conduct.revoke()
    return conduct


def after(*seconds: float, bid: Bid = SECOND) -> Conduct:
    """The record of one who delivered so, one call after the other."""
    conduct = Conduct()
    for each in seconds:
        conduct.fade(Forgetting().kept(0.0))
        conduct.deliver(bid, each)
    return conduct


@given(happenings, st.lists(happenings, max_size=3))
def test_whatever_happened_and_whatever_is_told_beliefs_stay_within_bounds(own: list, told: list[list]) -> None:
    words = tuple(record_of(each) for each in told)
    learned = learn(Evidence(record_of(own), words))
    assert 1.0 / OWN <= learned.latency <= OWN
    assert 1.0 / OWN <= learned.price <= OWN
    assert 0.0 <= learned.reputation <= 1.0
    assert learned.success >= 0.0
    assert learned.charge >= 0.0
    assert all(math.isfinite(getattr(learned, name)) for name in ("latency", "price", "charge", "success", "calls"))


@given(happenings)
def test_every_record_that_was_measured_is_sane_and_comes_through_a_beat(happened: list) -> None:
    assert record_of(happened).sane


@pytest.mark.parametrize(
    "nonsense",
    [
        {"calls": -1.0},
        {"delivered": 1e300},
        {"kept": -5.0},
        {"tried": float("inf")},
        {"logs": -1e9, "calls": -50.0},
        {"logs": -1e9, "kept": -50.0},
        {"logs": -1e13},
        {"logs": float("nan")},
    ],
)
def test_sums_that_nothing_can_add_up_to_are_told_from_others(nonsense: dict[str, float]) -> None:
    assert not Conduct(**nonsense).sane


sums = st.sampled_from([0.0, 5e-324, 1e-300, 1e-9, 1.0, 50.0, 1e12])
words = st.builds(Conduct, **dict.fromkeys(Conduct.__struct_fields__, sums) | {"logs": sums | sums.map(float.__neg__)})


@given(words, st.lists(words, max_size=3))
def test_whatever_others_can_say_a_choice_can_be_made(own: Conduct, told: list[Conduct]) -> None:
    assert all(each.sane for each in (own, *told))
    learned = learn(Evidence(own, tuple(told)), learn(Evidence(None, (own,))))
    for each in (learned, departs(own, own, learned) or learned):
        assert 0.0 <= cost(SECOND, SelectionPolicy(), each) < math.inf
        assert 0.0 <= bonus(1.0, each.calls) <= 1.0


def test_the_weight_of_what_was_seen_halves_with_the_calls_and_with_the_time() -> None:
    forgetting = Forgetting(calls=30.0, seconds=600.0)
    assert forgetting.kept(600.0, 0) == pytest.approx(0.5)
    assert forgetting.kept(0.0, 30) == pytest.approx(0.5)
    assert forgetting.kept(600.0, 30) == pytest.approx(0.25)
    assert forgetting.kept(-5.0, 0) == 1.0, "a clock that steps back makes nothing weigh more"


@given(st.lists(st.tuples(st.floats(0.01, 100.0), st.integers(0, 2)), min_size=1, max_size=40))
def test_calls_that_are_reckoned_together_weigh_as_if_they_came_one_by_one(delivered: list[tuple[float, int]]) -> None:
    """In all; of those reckoned together none is newer than the others."""
    together, apart = TrackRecord(), TrackRecord()
    for seconds, number in delivered:
        bidder = Bidder(f"p.a.{number}", "a", "1")
        for record in (together, apart):
            record.delivered(bidder, "do", SECOND, 5.0, seconds)
        apart.about("do", 5.0)
    ours, theirs = (each.about("do", 5.0)["a", "1"] for each in (together, apart))
    assert ours.tried == theirs.tried == len(delivered)
    assert ours.kept == pytest.approx(theirs.kept)
    assert ours.promised == pytest.approx(theirs.promised)
    least, most = min(each for each, _ in delivered), max(each for each, _ in delivered)
    assert ours.ratio is not None
    assert (least + GRAIN) / (1.0 + GRAIN) * 0.999 <= ours.ratio <= (most + GRAIN) / (1.0 + GRAIN) * 1.001


def test_no_evidence_and_a_promise_that_is_kept_teach_nothing() -> None:
    assert not learn(Evidence()).telling
    assert not learn(Evidence(after(*[1.0] * 50))).telling
    assert not learn(Evidence(after(*[1.05, 0.95] * 20))).telling


def test_what_is_believed_is_the_mean_of_the_evidence_and_of_the_prior() -> None:
    assert believed([], 1.0) == 1.0
    assert believed([(PRIOR, 3.0)], 1.0) == pytest.approx(2.0)
    many = after(*[2.0] * 200)
    assert learn(Evidence(many)).latency == pytest.approx(
        (many.calls * (2.0 + GRAIN) / (1.0 + GRAIN) + PRIOR) / (many.calls + PRIOR)
    )


def test_seconds_count_not_the_share_of_quick_calls() -> None:
    """Nine in ten come at once, one takes twenty times as long: on the average it takes twice what it promises."""
    calls = ([0.2] * 9 + [18.2]) * 20
    assert learn(Evidence(after(*calls))).latency == pytest.approx(2.0, rel=0.25)


def test_what_may_be_chance_is_not_held_against_anybody() -> None:
    assert learn(Evidence(after(30.0))).latency == 1.0
    assert learn(Evidence(after(2.0, 2.0))).latency == 1.0
    assert learn(Evidence(after(0.1, 5.0, 0.2, 3.0))).latency == 1.0
    assert learn(Evidence(after(*[2.0] * 6))).latency > 1.5


def test_a_broken_commitment_weighs_less_with_each_one_kept() -> None:
    conduct = Conduct()
    conduct.breach()
    reputations = [learn(Evidence(conduct)).reputation]
    for _ in range(60):
        conduct.fade(Forgetting().kept(0.0))
        conduct.deliver(SECOND, 1.0)
        reputations.append(learn(Evidence(conduct)).reputation)
    assert reputations[0] == pytest.approx(2 / 3)
    assert reputations == sorted(reputations)
    assert reputations[-1] == 1.0


# -- the words of others


def test_the_word_of_one_at_most_doubles_the_time_that_is_expected() -> None:
    slander = Conduct(tried=1e6, calls=1e6, promised=1.0, delivered=1e9)
    assert learn(Evidence(words=(slander,))).latency <= (WORD * HEARD + PRIOR) / (WORD + PRIOR) == 2.0


def test_nobody_loses_its_good_name_by_the_word_of_one() -> None:
    slander = Conduct(tried=1e6, claimed=1e6, kept=1e6, broken=1e6)
    learned = learn(Evidence(words=(slander,)))
    assert (learned.success, learned.reputation) == (1.0, 1.0)
    by_two = learn(Evidence(words=(slander, slander)))
    assert by_two.success < 1.0
    assert by_two.reputation < 1.0


def test_what_was_seen_here_outweighs_the_word_of_one() -> None:
    slander = Conduct(tried=1e6, calls=1e6, promised=1.0, delivered=1e9)
    assert learn(Evidence(after(*[1.0] * 200), (slander,))).latency < 1.2


def test_what_many_say_is_believed() -> None:
    word = after(*[2.0] * 40)
    assert learn(Evidence(words=(word,) * 8)).latency == pytest.approx(2.0, rel=0.1)


def test_others_cannot_make_a_newcomer_known_by_the_word_of_one_or_two() -> None:
    praise = Conduct(tried=1e6, calls=1e6, promised=1e6, delivered=1e6, kept=1e6)
    assert Evidence(words=(praise, praise)).tried < 5.0


# -- one instance


def test_an_instance_is_told_from_its_version_only_beyond_chance() -> None:
    version, common = after(*[1.0] * 100), Learned()
    assert departs(after(*[1.1] * 20), version, common) is None
    assert departs(after(2.0), version, common) is None
    special = departs(after(*[3.0] * 20), version, common)
    assert special is not None
    assert special.latency > 2.0
    broken = Conduct()
    broken.breach()
    blamed = departs(broken, version, common)
    assert blamed is not None
    assert blamed.reputation < 0.8


# -- the record


def test_records_are_bounded_and_those_not_heard_of_for_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_record, "INSTANCES", 10)
    monkeypatch.setattr(track_record, "VERSIONS", 3)
    record = TrackRecord()
    for number in range(50):
        record.delivered(Bidder(f"p.a{number}.i", f"a{number}", "1"), "do", SECOND, float(number), 1.0)
    assert set(record.about("do", 50.0)) == {("a47", "1"), ("a48", "1"), ("a49", "1")}
    assert len(record) == 10


def test_a_time_that_was_assumed_before_the_first_call_is_not_held_against_who_keeps_to_measured_ones() -> None:
    record, assumed = TrackRecord(), Bid(latency=0.05)
    bidder = Bidder("p.a.i", "a", "1")
    for _ in range(10):
        record.delivered(bidder, "do", assumed, 0.0, 8.0, founded=False)
    assert not learn(Evidence(record.about("do", 0.0)["a", "1"])).telling
    for _ in range(30):
        record.delivered(bidder, "do", assumed, 0.0, 8.0, founded=False)
    assert learn(Evidence(record.about("do", 0.0)["a", "1"])).latency > 10.0, "but who says so for ever is not believed"


def test_only_what_has_changed_is_told_the_weightiest_first() -> None:
    record = TrackRecord()
    often, once = Bidder("p.a.i", "a", "1"), Bidder("p.b.i", "b", "2")
    for _ in range(9):
        record.delivered(often, "do", SECOND, 0.0, 1.0)
    record.broken(once, "do", 0.0)
    told = record.testify(1, 1.0, changed=True)
    assert [(each.agent, each.version, each.capability) for each in told] == [("a", "1", "do")]
    assert [each.agent for each in record.testify(9, 1.0, changed=True)] == ["b"]
    assert record.testify(9, 1.0, changed=True) == ()
    assert len(record.testify(9, 1.0, changed=False)) == 2
    record.delivered(often, "do", SECOND, 1.0, 1.0)
    assert [each.agent for each in record.testify(9, 1.0, changed=True)] == ["a"]


def test_what_is_told_again_fades_as_it_does_here() -> None:
    """Whoever calls nobody any more does not keep its old word fresh in everybody's ear."""
    record = TrackRecord()
    record.broken(Bidder("p.a.i", "a", "1"), "do", 0.0)
    hours = 3 * 3600.0
    assert record.testify(9, 0.0, changed=False)[0].conduct.broken == 1.0
    (later,) = record.testify(9, hours, changed=False)
    assert later.conduct.broken == pytest.approx(record.about("do", hours)["a", "1"].broken, abs=1e-5)
    assert later.conduct.broken < 0.001


def test_what_somebody_asked_for_is_news_to_the_others_still() -> None:
    record = TrackRecord()
    record.broken(Bidder("p.a.i", "a", "1"), "do", 0.0)
    assert len(record.testify(9, 0.0, changed=False)) == 1
    assert len(record.testify(9, 0.0, changed=True)) == 1
    assert record.testify(9, 0.0, changed=True) == ()


@pytest.mark.parametrize("price", [0.0, 1.0])
def test_a_cost_beyond_all_measure_is_believed_only_so_far(price: float) -> None:
    """Else each choice with this bidder in it would be among infinite costs."""
    conduct = Conduct()
    for _ in range(100):
        conduct.fade(Forgetting().kept(0.0))
        conduct.deliver(Bid(price=price, latency=1.0), 1.0, money=1.7e308)
    learned = learn(Evidence(conduct))
    assert cost(SECOND, SelectionPolicy(), learned) < math.inf


@pytest.mark.parametrize("idle", [1070.0, 1073.5, 1074.0, 1074.5, 1075.0, 1076.0, 1080.0])
def test_of_what_is_nearly_forgotten_nothing_is_believed(idle: float) -> None:
    """There comes a moment in which the calls still count a little, and the seconds they took do not any more."""
    forgetting = Forgetting()
    own = after(0.01, 0.01, 0.01, 0.01, 0.01).faded(forgetting.kept(idle * forgetting.seconds, 0))
    assert departs(own, own, Learned()) is None
    assert learn(Evidence(own, (own, own))).latency == 1.0


def test_a_half_life_without_end_is_one_too() -> None:
    forgetting = Forgetting(calls=1e300, seconds=1e300)
    assert forgetting.each(5.0) == 1.0
    assert forgetting.kept(10.0) == 1.0
