"""What a participant answers to each act, to copies of it, and to those who have no claim to an answer."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.protocols.acts import CallForProposal, Confirm, InformResult
from mesh.protocols.errors import DeadlineExceeded, Killed, NoBids
from mesh.protocols.policies import RateLimit, Switch, What
from mesh.protocols.ports import KeyValue
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace
from tests.contract_net.stranger import Stranger

pytestmark = pytest.mark.virtual


async def stranger(place: MarketPlace, name: str = "stranger") -> Stranger:
    return await Stranger(place.server.connect(name).bus, await place.peer("a"), name).listen()


async def test_a_copy_of_a_call_is_answered_with_the_same_proposal(place: MarketPlace) -> None:
    await place.worker("a")
    initiator = await stranger(place)
    initiator.call()
    initiator.call()
    first, second = await initiator.until("propose", 1), await initiator.until("propose", 2)
    assert first.proposals[0].id == second.proposals[0].id


async def test_a_proposal_lapses_after_its_lease_and_its_award_is_declined(place: MarketPlace) -> None:
    worker = await place.worker("a")
    initiator = await stranger(place)
    initiator.call()
    [proposal] = (await initiator.until("propose")).proposals
    await place.clock.sleep(proposal.valid_for + 0.1)
    initiator.accept(proposal=proposal.id)
    refuse = await initiator.until("refuse")
    assert refuse.refusals[0].reason == "expired"
    assert refuse.refusals[0].bid is not None, "a decline carries a fresh bid"
    assert worker.target.begun == []


async def test_who_seemed_full_of_proposals_says_so_when_they_have_lapsed(place: MarketPlace) -> None:
    worker = await place.worker("a")
    onlooker = await place.peer("onlooker")

    def room() -> int:
        bid = onlooker.directory.lookup("do", state=None)[0].figures.bids.get("do")
        return bid.capacity if bid is not None else -1

    initiator = await stranger(place)
    initiator.call("one")
    initiator.call("two")
    await initiator.until("propose", 2)
    worker.peer.changed(worker)
    await until(lambda: room() == 0)
    await until(lambda: room() > 0)


@pytest.mark.parametrize(("what", "name"), [("capability", "do"), ("agent", "worker")])
async def test_calls_that_are_refused_as_killed_are_not_counted_for_retries(
    place: MarketPlace, what: What, name: str
) -> None:
    await place.worker("a")
    caller = await place.caller()
    left = caller.peer.budgets.of("do").left
    if what == "agent" and not place.quietly:
        left += 0.1  # it was announced, for there may be other agents of that capability
    switch = Switch(what=what, name=name, reason="it is broken")
    caller.peer.policy._heard(KeyValue(key=switch.key, value=msgspec.json.encode(switch), revision=1))
    with pytest.raises(Killed):
        await place.contract()
    assert caller.peer.budgets.of("do").left == left


async def test_what_was_called_for_while_the_server_was_away_is_not_begun_for_nobody(place: MarketPlace) -> None:
    worker = await place.worker("a")
    await place.caller()
    place.server.cut("client")
    with pytest.raises(DeadlineExceeded):
        await place.contract(timeout=2.0)
    place.server.restore("client")
    await place.contract()
    assert len(worker.target.begun) == 1


async def test_a_rejected_proposal_frees_its_capacity_and_cannot_be_awarded(place: MarketPlace) -> None:
    await place.worker("a")
    initiator = await stranger(place)
    initiator.call("one")
    initiator.call("two")
    proposals = [(await initiator.until("propose", count)).proposals[0] for count in (1, 2)]
    initiator.call("three")
    assert (await initiator.until("propose", 3)).refusals[0].reason == "capacity"
    initiator.reject(proposals[0].id)
    initiator.call("four")
    assert (await initiator.until("propose", 4)).proposals
    initiator.accept(proposal=proposals[0].id)
    assert (await initiator.until("refuse")).refusals[0].reason == "expired"


async def test_only_the_one_it_was_made_to_can_reject_or_accept_a_proposal(place: MarketPlace) -> None:
    await place.worker("a")
    initiator, thief = await stranger(place), await stranger(place, "thief")
    initiator.call()
    [proposal] = (await initiator.until("propose")).proposals
    thief.reject(proposal.id)
    thief.accept("stolen", proposal=proposal.id)
    assert (await thief.until("refuse")).refusals[0].reason == "expired"
    initiator.accept(proposal=proposal.id)
    assert isinstance(await initiator.until("inform-result"), InformResult)


async def test_a_copy_of_an_award_is_answered_with_confirm_while_it_runs_and_its_result_after(
    place: MarketPlace,
) -> None:
    worker = await place.worker("a")
    initiator = await stranger(place)
    initiator.accept(payload=0.5)
    await until(lambda: bool(worker.target.begun))
    initiator.accept(payload=0.5, token="copy", attempt=2)
    await initiator.until("confirm", 1)
    await initiator.until("inform-result")
    assert initiator.tokens[-1] == "copy", "the result goes to whoever asked last"
    initiator.accept(payload=0.5, token="again", attempt=3)
    await initiator.until("inform-result", 2)
    assert worker.target.done == [worker.target.done[0]]


async def test_the_answers_of_an_award_go_to_the_newest_owner_of_its_job(place: MarketPlace) -> None:
    worker = await place.worker("a")
    old, new = await stranger(place, "old"), await stranger(place, "new")
    old.accept(payload=0.5, job="j", epoch=1)
    await until(lambda: bool(worker.target.begun))
    new.accept(payload=0.5, job="j", epoch=2, attempt=2)
    assert (await new.until("confirm")).state == "running"
    await new.until("inform-result")
    assert "inform-result" not in old.names()
    assert len(worker.target.begun) == 1


async def test_an_award_of_an_epoch_lower_than_seen_for_its_job_is_refused_fenced(place: MarketPlace) -> None:
    worker = await place.worker("a")
    old, new = await stranger(place, "old"), await stranger(place, "new")
    new.accept("new", job="j", epoch=2)
    await new.until("inform-result")
    old.accept("old", job="j", epoch=1)
    assert (await old.until("refuse")).refusals[0].reason == "fenced"
    old.accept("other", job="another", epoch=1)
    await old.until("inform-result")
    assert len(worker.target.done) == 2


async def test_nobody_else_gets_the_result_of_an_award(place: MarketPlace) -> None:
    await place.worker("a")
    initiator, thief = await stranger(place), await stranger(place, "thief")
    initiator.accept()
    await initiator.until("inform-result")
    thief.accept()
    thief.accept(tenant="other")
    await thief.until("refuse", 2)
    assert "inform-result" not in thief.names()


async def test_a_cancel_stops_the_work_and_is_answered_with_inform_done(place: MarketPlace) -> None:
    worker = await place.worker("a")
    initiator, thief = await stranger(place), await stranger(place, "thief")
    initiator.accept(payload=5.0)
    await until(lambda: bool(worker.target.begun))
    thief.cancel()
    await place.clock.sleep(0.1)
    assert worker.running == 1, "only the initiator may cancel"
    initiator.cancel()
    await initiator.until("inform-done")
    await until(lambda: worker.running == 0)
    initiator.cancel()
    await initiator.until("inform-done", 2)
    assert worker.target.done == []


async def test_an_award_that_comes_after_its_cancel_is_not_begun(place: MarketPlace) -> None:
    worker = await place.worker("a")
    initiator = await stranger(place)
    initiator.cancel()
    initiator.accept()
    await initiator.until("inform-done")
    assert worker.target.begun == []


async def test_a_copy_of_an_unknown_award_of_at_most_once_work_is_not_begun(place: MarketPlace) -> None:
    worker = await place.worker("a", effect="at_most_once")
    initiator = await stranger(place)
    initiator.accept(attempt=2)
    assert (await initiator.until("refuse")).refusals[0].reason == "unknown"
    initiator.accept(attempt=1)
    await initiator.until("refuse", 2)
    assert worker.target.begun == []


async def test_an_award_says_whether_it_waits_or_runs(place: MarketPlace) -> None:
    worker = await place.worker("a")
    initiator = await stranger(place)
    initiator.accept("first", payload=1.0)
    await until(lambda: bool(worker.target.begun))
    initiator.accept("second", payload=0.0)
    await initiator.until("confirm", 2)
    states = {content.award: content.state for _, content, _ in initiator.answers if isinstance(content, Confirm)}
    assert states == {"first": "running", "second": "queued"}


async def test_a_directed_call_is_answered_for_its_one_instance(place: MarketPlace) -> None:
    for name in ("a", "b"):
        await place.worker("a", instance=name)
    initiator = await stranger(place)
    initiator.send(CallForProposal(conversation="talk", capability="do", window=0.1), seat="worker.b")
    propose = await initiator.until("propose")
    assert [each.instance for each in propose.proposals] == ["b"]


async def test_acts_that_make_no_sense_are_answered_not_understood_or_refused(place: MarketPlace) -> None:
    await place.worker("a")
    initiator = await stranger(place)
    initiator.send(Confirm(conversation="talk", award="w"), token="one")
    initiator.accept(seat="worker.nobody", token="two")
    await initiator.until("reply", 2)
    codes = {envelope.fault.code for _, _, envelope in initiator.answers if envelope.fault}
    assert codes == {"not-understood", "unknown-agent"}


async def test_bad_input_is_a_failure_and_no_reason_to_try_another(place: MarketPlace) -> None:
    await place.worker("a")
    initiator = await stranger(place)
    initiator.accept(payload={"not": "a number"})
    await initiator.until("failure")
    [fault] = [envelope.fault for name, _, envelope in initiator.answers if name == "failure"]
    assert fault is not None
    assert fault.code == "bad-payload"


async def test_who_is_taken_away_while_it_is_hosted_leaves_nobody_listening(place: MarketPlace) -> None:
    worker = await place.worker("a")
    participant = place.participants["a"]
    await participant._unhosted(worker)
    hosting = asyncio.ensure_future(participant._hosted(worker))
    await asyncio.sleep(0)
    await participant._unhosted(worker)
    await hosting
    at = place.clock.monotonic()
    with pytest.raises(NoBids, match="nobody listens"):
        await place.contract(0.0, mode="broadcast")
    assert place.clock.monotonic() - at < 0.1, "the server says so"


async def test_what_is_cancelled_while_it_waits_for_its_ration_is_out_of_everybodys_way(
    place: MarketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leaves tells all that wait so; one that was not waiting any more kept the others from hearing of it."""
    worker, initiator = await place.worker("a"), await stranger(place)
    limit = RateLimit(agent="worker", calls=600.0)
    worker.peer.policy._heard(KeyValue(key=limit.key, value=msgspec.json.encode(limit), revision=1))

    async def away(**names: str) -> None:
        await asyncio.sleep(60.0)

    monkeypatch.setattr(worker.peer.limiter, "take", away)
    for award in ("w1", "w2"):
        initiator.accept(award, token=award)
    await until(lambda: len(worker.peer.rationing._works) == 2)
    initiator.cancel("w1", token="enough")
    await initiator.until("inform-done")
    await place.stop("a")
    assert (await initiator.until("refuse")).refusals[0].reason == "draining"
    assert initiator.names() == ["inform-done", "refuse"]
