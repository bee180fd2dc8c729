"""Figures and bids from measured calls, and the mailbox they are counted in."""

from __future__ import annotations

import pytest

from mesh.actors.definition import agent
from mesh.actors.mailbox import Mailbox
from mesh.actors.tally import UNKNOWN_LATENCY, Tally
from mesh.actors.work import NOBODY, Work
from mesh.protocols.envelope import Envelope, Sender
from mesh.protocols.errors import Overloaded
from mesh.resilience.deadline import Deadline


@agent(capability="do.it", price=0.5, tier=1)
async def do_it() -> None: ...


HANDLER = do_it.definition.handlers["do_it"]


def work(message_id: str, requester: str = "p") -> Work:
    envelope = Envelope(
        v=1, id=message_id, kind="command", name="do_it", sender=Sender("a", "b", requester), correlation="c"
    )
    return Work(envelope, HANDLER, NOBODY, Deadline(None, 0.0), requester)  # type: ignore[arg-type]


def test_the_first_call_replaces_the_guess_and_later_ones_move_it_slowly() -> None:
    tally = Tally()
    assert tally.bid(HANDLER, waiting=0, running=0, capacity=1).latency == UNKNOWN_LATENCY
    tally.add("do_it", 2.0, True)
    assert tally.of("do_it").latency == 2.0
    for _ in range(100):
        tally.add("do_it", 2.0, True)
    tally.add("do_it", 12.0, True)
    assert tally.of("do_it").latency == pytest.approx(3.0)


def test_failures_lower_the_success_and_successes_heal_it() -> None:
    tally = Tally()
    for _ in range(10):
        tally.add("do_it", 1.0, False, "handler-failed: no")
    low = tally.whole.success
    assert low < 0.4
    assert tally.of("do_it").last_error == "handler-failed: no"
    for _ in range(30):
        tally.add("do_it", 1.0, True)
    assert tally.whole.success > 0.95


@pytest.mark.parametrize(
    ("waiting", "running", "capacity", "latency", "left"),
    [(0, 0, 1, 1.0, 1), (0, 1, 1, 2.0, 0), (3, 1, 1, 5.0, 0), (0, 1, 4, 1.0, 3), (4, 4, 4, 2.25, 0)],
)
def test_a_bid_counts_those_ahead(waiting: int, running: int, capacity: int, latency: float, left: int) -> None:
    tally = Tally()
    tally.add("do_it", 1.0, True)
    bid = tally.bid(HANDLER, waiting=waiting, running=running, capacity=capacity)
    assert (bid.latency, bid.capacity, bid.queue) == (latency, left, waiting + running)
    assert (bid.price, bid.tier) == (0.5, 1)


def test_a_mailbox_is_first_in_first_out_and_bounded() -> None:
    mailbox = Mailbox(2)
    assert mailbox.take() is None
    for name in ("1", "2"):
        mailbox.put(work(name), retry_after=1.0)
    with pytest.raises(Overloaded) as caught:
        mailbox.put(work("3"), retry_after=1.5)
    assert caught.value.retry_after == 1.5
    assert [each.envelope.id for each in (mailbox.take(), mailbox.take()) if each] == ["1", "2"]


def test_only_the_sender_withdraws_a_message() -> None:
    mailbox = Mailbox()
    assert mailbox.withdraw("1", "p") is None
    for name in ("1", "2", "3"):
        mailbox.put(work(name), retry_after=1.0)
    assert mailbox.withdraw("2", "somebody-else") is None
    assert mailbox.withdraw("2", "p") is not None
    assert [each.envelope.id for each in mailbox] == ["1", "3"]


@pytest.mark.parametrize("before", [0, 1, 7, 9, 10, 40])
@pytest.mark.parametrize("times", [1, 2, 12])
@pytest.mark.parametrize("succeeded", [True, False])
def test_calls_alike_count_at_once_what_they_count_one_by_one(before: int, times: int, succeeded: bool) -> None:
    one, many = Tally(), Tally()
    for number in range(before):
        for tally in (one, many):
            tally.add("x", 0.01 * (number % 7), number % 3 > 0)
    for _ in range(times):
        one.add("x", 0.3, succeeded)
    many.add("x", 0.3, succeeded, times=times)
    for name in ("latency", "success", "handled", "failed", "busy"):
        assert getattr(many.whole, name) == pytest.approx(getattr(one.whole, name))
        assert getattr(many.of("x"), name) == pytest.approx(getattr(one.of("x"), name))
