"""Who is handled next, who makes room, and what is promised about it: the mailbox by itself, without an actor."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.actors.admitting.fairness import AGEING, due
from mesh.actors.admitting.mailbox import Mailbox
from mesh.actors.admitting.queueing import FairQueue
from mesh.actors.running.work import Work
from mesh.protocols.errors import Overloaded
from tests.actors.queues import Given, Landlord, work

TENANTS = "abc"
weights = st.sampled_from([0.1, 0.5, 1.0, 2.0, 7.0])


def drained(mailbox: Mailbox | FairQueue) -> list[Work]:
    """Everything, in the order it is handled."""
    take = mailbox.take if isinstance(mailbox, Mailbox) else mailbox.popleft
    return [each for _ in range(len(mailbox)) if (each := take()) is not None]


def tenants(works: list[Work]) -> str:
    return "".join(each.envelope.tenant for each in works)


def test_what_is_alike_waits_in_a_plain_deque_and_an_idle_mailbox_has_none() -> None:
    mailbox, host = Mailbox(), Landlord()
    assert mailbox._waiting == ()
    for number in range(3):
        mailbox.put(work("a", at=number), host)
    assert type(mailbox._waiting) is deque
    mailbox.put(work("b", at=3), host)
    assert type(mailbox._waiting) is FairQueue
    assert tenants(drained(mailbox)) == "baaa"
    mailbox.put(work("b", at=4), host)
    assert type(mailbox._waiting) is deque, "once it was empty it is plain again"


def test_a_share_is_kept_to_by_what_waited_when_it_was_decided() -> None:
    mailbox, host = Mailbox(), Landlord(capacity=2)
    for number in range(3):
        mailbox.put(work("a", at=number), host)
    host.shares = {"a": Given(at_once=1)}
    mailbox.share_out(host)
    first = mailbox.take()
    assert first is not None
    mailbox.entered(first)
    assert not mailbox.ready
    assert mailbox.take() is None, "one of them runs, and that is all it may"
    mailbox.left(first)
    assert mailbox.take() is not None


def test_tenants_take_turns_however_much_one_of_them_has_waiting() -> None:
    mailbox, host = Mailbox(), Landlord()
    for number in range(6):
        mailbox.put(work("a", at=number), host)
    for tenant in "bbc":
        mailbox.put(work(tenant, at=9), host)
    assert tenants(drained(mailbox)) == "bcabaaaaa"


def test_who_comes_anew_has_one_call_before_the_others_and_cannot_come_anew_each_time() -> None:
    mailbox, host = Mailbox(), Landlord()
    for number in range(10):
        mailbox.put(work("a", at=number), host)
    handled = ""
    for number in range(4):
        mailbox.put(work("b", at=20 + number), host)
        handled += tenants([each for _ in range(2) if (each := mailbox.take())])
    assert handled == "babababa"
    for number in range(4):
        mailbox.put(work("b", at=30 + number), host)
        first = mailbox.take()
        assert first is not None
        handled += first.envelope.tenant
    assert handled.count("b") <= 4 + 2, "every second turn, however often it comes with nothing else of it waiting"


def test_twice_the_weight_is_twice_the_turns() -> None:
    queue = FairQueue(Landlord(a=Given(weight=2.0), b=Given(weight=1.0)))
    for number in range(12):
        queue.append(work("ab"[number % 2], at=number))
    assert Counter(tenants(drained(queue)[:6])) == {"a": 4, "b": 2}


def test_a_weight_counts_from_the_moment_it_is_given() -> None:
    host, mailbox = Landlord(a=Given(weight=100.0), b=Given(weight=1.0)), Mailbox()
    for number in range(100):
        mailbox.put(work("ab"[number % 2], at=number), host)
    assert mailbox.take() is not None
    host.shares = {"a": Given(weight=1.0), "b": Given(weight=100.0)}
    mailbox.share_out(host)
    assert Counter(tenants(drained(mailbox)[:40]))["b"] >= 36


@pytest.mark.parametrize("least", [1.0, 0.1, 0.01])
def test_a_tenant_with_a_small_weight_does_not_have_the_others_wait_for_one_another(least: float) -> None:
    """Whoever asks again as soon as it is answered has every second turn beside one that always has much waiting."""
    queue = FairQueue(Landlord(batch=Given(weight=least), busy=Given(weight=1.0)))
    for number in range(500):
        queue.append(work(("batch", "busy")[number % 2], at=number))
    queue.append(work("one"))
    handled, waits = [], 0
    while len(handled) < 300 and (taken := queue.popleft()) is not None:
        handled.append(taken.envelope.tenant)
        waits += 1
        if taken.envelope.tenant == "one":
            assert waits <= 3
            queue.append(work("one"))
            waits = 0
    served = Counter(handled)
    assert abs(served["one"] - served["busy"]) <= 2
    assert abs(served["batch"] - served["busy"] * least) <= 2


def test_the_urgent_goes_first_and_waiting_makes_up_for_priority() -> None:
    mailbox, host = Mailbox(), Landlord()
    works = {
        "slow": work(priority=3, at=0.0, name="slow"), "usual": work(at=0.5, name="usual"),
        "urgent": work(priority=0, at=1.0, name="urgent"), "late": work(priority=0, at=3 * AGEING + 0.1, name="late"),
    }  # fmt: skip
    for each in works.values():
        mailbox.put(each, host)
    assert [each.envelope.id for each in drained(mailbox)] == ["urgent", "usual", "slow", "late"]


def test_who_holds_its_share_of_the_places_lets_the_others_go_first() -> None:
    host = Landlord(capacity=4)
    host.places = {"a": 2}
    queue = FairQueue(host, [work("a"), work("a"), work("b"), work("b")])
    assert tenants(drained(queue)[:2]) == "bb"
    host.places = {"a": 4}
    alone = FairQueue(host, [work("a")])
    assert tenants(drained(alone)) == "a", "who is alone may have all places"


def test_nobody_holds_more_places_than_its_share_says() -> None:
    host = Landlord(capacity=8, a=Given(at_once=1))
    mailbox = Mailbox()
    for tenant in "aab":
        mailbox.put(work(tenant), host)
    first = mailbox.take()
    assert first is not None
    mailbox.entered(first)
    assert mailbox.ready
    assert tenants(drained(mailbox)) == "b"
    assert (len(mailbox), mailbox.ready, mailbox.take()) == (1, False, None)
    mailbox.left(first)
    assert mailbox.ready
    assert tenants(drained(mailbox)) == "a"


def test_a_full_mailbox_refuses_what_is_not_more_urgent_than_anything_in_it() -> None:
    mailbox, host = Mailbox(2), Landlord()
    for number in range(2):
        mailbox.put(work(at=number), host)
    with pytest.raises(Overloaded, match="the mailbox is full: 2 messages wait"):
        mailbox.put(work(at=2), host)
    assert len(mailbox) == 2


def test_the_newest_of_the_least_urgent_makes_room_for_what_is_more_urgent() -> None:
    mailbox, host = Mailbox(3), Landlord()
    for name, priority in (("old", 3), ("usual", 2), ("new", 3)):
        mailbox.put(work(priority=priority, name=name), host)
    shed = mailbox.put(work(priority=1, name="urgent"), host)
    assert shed is not None
    assert shed.envelope.id == "new"
    assert [each.envelope.id for each in drained(mailbox)] == ["urgent", "usual", "old"]


def test_what_has_waited_long_enough_is_not_shed_any_more() -> None:
    mailbox, host = Mailbox(1), Landlord()
    mailbox.put(work(priority=3, at=0.0), host)
    with pytest.raises(Overloaded):
        mailbox.put(work(priority=0, at=3 * AGEING + 0.1), host)


def test_a_lone_tenant_may_have_all_the_room_and_gives_its_newest_away_when_another_comes() -> None:
    mailbox, host = Mailbox(4), Landlord()
    for number in range(4):
        mailbox.put(work("a", 0, at=number, name=f"a{number}"), host)
    assert [shed.envelope.id for n in (4, 5) if (shed := mailbox.put(work("b", 3, at=n), host))] == ["a3", "a2"]
    with pytest.raises(Overloaded):
        mailbox.put(work("b", 3, at=6), host)
    shed = mailbox.put(work("b", 0, at=6), host)
    assert shed is not None
    assert shed.envelope.tenant == "b", (
        "half of the room is its share: what is more urgent of its own goes first in that"
    )


def test_a_tenant_has_no_more_waiting_than_its_share_says_however_much_room_there_is() -> None:
    mailbox, host = Mailbox(100), Landlord(a=Given(queue=2))
    for _ in range(2):
        mailbox.put(work("a"), host)
    with pytest.raises(Overloaded, match="as many messages of tenant a wait as its share allows"):
        mailbox.put(work("a"), host)
    assert mailbox.put(work("a", 0), host) is not None
    mailbox.put(work("b"), host)


def test_how_many_go_before_one_that_comes_now() -> None:
    mailbox, host = Mailbox(), Landlord()
    for number in range(10):
        mailbox.put(work("a", at=number / 100), host)
    assert mailbox.ahead(work("a", at=1), host) == 10
    assert mailbox.ahead(work("b", at=1), host) == 0
    assert mailbox.ahead(work("a", 0, at=1), host) == 0
    assert mailbox.ahead(work("a", 3, at=1), host) == 10


def test_live_events_come_in_together_or_one_by_one() -> None:
    mailbox, host = Mailbox(4), Landlord()
    assert mailbox.take_in([work("a"), work("a")], host)
    assert not mailbox.take_in([work("b")], host), "two tenants: each is looked at"
    assert not mailbox.take_in([work("a")] * 3, host), "no room for all"
    assert mailbox.take_in([work("a")] * 2, host)
    assert len(mailbox) == 4


def test_only_the_sender_withdraws_a_message() -> None:
    mailbox, host = Mailbox(), Landlord()
    assert mailbox.withdraw("1", "p") is None
    for name, tenant in (("1", "a"), ("2", "b"), ("3", "a")):
        mailbox.put(work(tenant, name=name), host)
    assert mailbox.withdraw("2", "somebody-else") is None
    assert mailbox.withdraw("2", "p") is not None
    assert [each.envelope.id for each in mailbox] == ["1", "3"]


# -- what is promised, whatever comes

offers = st.lists(st.tuples(st.sampled_from(TENANTS), st.integers(0, 3), st.floats(0, 2)), max_size=60)


@given(offers)
def test_within_a_tenant_nobody_is_overtaken_by_what_came_three_levels_of_ageing_later(
    offered: list[tuple[str, int, float]],
) -> None:
    now, queue = 0.0, FairQueue(Landlord())
    for tenant, priority, passed in offered:
        now += passed
        queue.append(work(tenant, priority, at=now))
    handled = drained(queue)
    assert len(handled) == len(offered)
    for position, one in enumerate(handled):
        for later in handled[position + 1 :]:
            if one.envelope.tenant == later.envelope.tenant:
                assert due(one) <= due(later)
                assert one.offered_at <= later.offered_at + 3 * AGEING


@given(st.dictionaries(st.sampled_from(TENANTS), weights, min_size=2), st.integers(1, 120))
def test_while_all_have_something_waiting_each_gets_its_share_within_three_turns_of_the_least(
    given_weights: dict[str, float], turns: int
) -> None:
    host = Landlord(**{tenant: Given(weight=weight) for tenant, weight in given_weights.items()})
    queue = FairQueue(host)
    for tenant in given_weights:
        for _ in range(turns):
            queue.append(work(tenant))
    served = Counter(tenants([each for _ in range(turns) if (each := queue.popleft())]))
    least = min(given_weights.values())
    for one, weight in given_weights.items():
        for other, its in given_weights.items():
            assert abs(served[one] / weight - served[other] / its) <= 3 / least


@given(
    st.lists(st.tuples(st.sampled_from("abcx"), st.integers(0, 3), st.floats(0, 0.5)), max_size=80),
    st.integers(1, 12),
    st.dictionaries(st.sampled_from(TENANTS), st.builds(Given, weights, st.none(), st.none() | st.integers(1, 4))),
)
def test_whatever_is_offered_is_handled_shed_withdrawn_refused_or_waits_and_the_room_is_shared(
    steps: list[tuple[str, int, float]], limit: int, shares: dict[str, Given]
) -> None:
    mailbox, host, now = Mailbox(limit), Landlord(**shares), 0.0
    offered: dict[str, Work] = {}
    gone: list[str] = []
    for tenant, priority, passed in steps:
        now += passed
        if tenant == "x":
            if priority < 2 and (taken := mailbox.take()) is not None:
                gone.append(taken.envelope.id)
            elif offered and (out := mailbox.withdraw(next(reversed(offered)), "p")) is not None:
                gone.append(out.envelope.id)
            continue
        each = work(tenant, priority, at=now)
        offered[each.envelope.id] = each
        before = Counter(waiting.envelope.tenant for waiting in mailbox)
        try:
            shed = mailbox.put(each, host)
        except Overloaded:
            gone.append(each.envelope.id)
            total = sum(host.share(who).weight for who in {*before, tenant})
            part = limit * host.share(tenant).weight / total
            most = host.share(tenant).queue
            assert before[tenant] + 1 >= part or (most is not None and before[tenant] >= most)
        else:
            if shed is not None:
                gone.append(shed.envelope.id)
        assert len(mailbox) <= limit
        for who, has in Counter(waiting.envelope.tenant for waiting in mailbox).items():
            most = host.share(who).queue
            assert most is None or has <= most
    waiting = [each.envelope.id for each in mailbox]
    assert sorted(gone + waiting) == sorted(offered)
    assert sorted(each.envelope.id for each in drained(mailbox)) == sorted(waiting)


@given(
    st.integers(1, 5), st.lists(st.tuples(st.sampled_from(TENANTS), st.booleans()), max_size=60), st.integers(1, 3)
)  # fmt: skip
def test_nobody_ever_holds_more_than_its_places_and_a_free_place_is_given_to_whoever_may_have_it(
    capacity: int, steps: list[tuple[str, bool]], at_once: int
) -> None:
    host, mailbox = Landlord(capacity, a=Given(at_once=at_once)), Mailbox()
    running: list[Work] = []
    for tenant, ends in steps:
        if ends and running:
            left = running.pop(0)
            mailbox.left(left)
            host.places = dict(Counter(each.envelope.tenant for each in running))
        else:
            mailbox.put(work(tenant), host)
        while len(running) < capacity and (taken := mailbox.take()) is not None:
            running.append(taken)
            mailbox.entered(taken)
            host.places = dict(Counter(each.envelope.tenant for each in running))
        held = Counter(each.envelope.tenant for each in running)
        assert held["a"] <= at_once
        if len(running) < capacity:
            assert {each.envelope.tenant for each in mailbox} <= {"a"}
            assert not mailbox or held["a"] == at_once
