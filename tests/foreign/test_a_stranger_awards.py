"""A stranger gives work to agents of ours: section 5 of the document."""

from __future__ import annotations

import pytest

from mesh.client.mesh import Mesh
from tests.foreign.our_agents import Clerk, door
from tests.foreign.speech import Nobody, Speaker

pytestmark = pytest.mark.server

CLERK = "ours.clerk.desk"


@pytest.fixture(autouse=True)
async def _clerk(ours: Mesh) -> None:
    await ours.host(Clerk, instance="desk")


# -- standing


async def test_a_standing_award_is_answered_with_the_result(stranger: Speaker) -> None:
    result = await stranger.award(CLERK, "a1", "text.upper", {"text": "hello"}).next()
    assert (result["kind"], result["name"]) == ("act", "inform-result")
    assert result["payload"]["content"] == "HELLO"
    assert (result["payload"]["award"], result["payload"]["conversation"]) == ("a1", "talk")
    assert result["payload"]["bid"]["success"] == 1.0
    assert result["stamps"]["agent_version"] == "1.2.0"


async def test_work_that_takes_longer_is_confirmed_and_then_tells_its_progress(stranger: Speaker) -> None:
    answers = await stranger.award(CLERK, "a1", "text.slowly", {"text": "x"}).until("inform-result")
    assert {each["name"] for each in answers[:-1]} == {"confirm", "slowly"}
    confirm = next(each for each in answers if each["name"] == "confirm")
    assert confirm["payload"].get("state", "running") == "running"  # what is as usual is left out


async def test_a_copy_is_answered_with_what_there_is(stranger: Speaker) -> None:
    held = {"text": stranger.ns}
    first = stranger.award(CLERK, "a1", "text.held", held)
    await first.until("confirm")
    copy = stranger.award(CLERK, "a1", "text.held", held)
    assert (await copy.next())["name"] == "confirm"
    door(stranger.ns).set()
    assert (await copy.until("inform-result"))[-1]["payload"]["content"] == stranger.ns
    again = await stranger.award(CLERK, "a1", "text.held", held).next()
    assert (again["name"], again["payload"]["content"]) == ("inform-result", stranger.ns)
    probe = await stranger.to(CLERK, stranger.envelope("control", "probe")).next()
    assert probe["payload"]["figures"]["handled"] == 1


async def test_work_that_fails_is_a_failure_with_its_fault(stranger: Speaker) -> None:
    failure = await stranger.award(CLERK, "a1", "text.upper", {"text": 7}).next()
    assert (failure["name"], failure["fault"]["code"]) == ("failure", "bad-payload")


async def test_a_cancelled_award_is_stopped_and_done(stranger: Speaker) -> None:
    working = stranger.award(CLERK, "a1", "text.sleep", {"seconds": 40})
    await working.until("confirm")
    stopped = stranger.act(CLERK, "cancel", {"conversation": "talk", "award": "a1", "reason": "changed my mind"})
    assert (await stopped.next())["name"] == "inform-done"


async def test_a_declined_award_says_why_and_how_it_stands(stranger: Speaker) -> None:
    constraints = {"labels": {"floor": "second"}}
    content = {"conversation": "talk", "award": "a1", "capability": "text.upper", "input": {"text": "x"}}
    refuse = await stranger.act(CLERK, "accept-proposal", content, constraints=constraints).next()
    (refusal,) = refuse["payload"]["refusals"]
    assert (refuse["name"], refuse["payload"]["award"], refusal["reason"]) == ("refuse", "a1", "labels")
    assert refusal["agent"] == "clerk"
    assert "bid" in refusal


async def test_more_awards_than_there_is_room_for_are_declined_with_a_time_to_come_back(stranger: Speaker) -> None:
    working = [stranger.award(CLERK, f"a{number}", "text.sleep", {"seconds": 40}) for number in range(8)]
    for each in working:
        await each.until("confirm")
    refuse = await stranger.award(CLERK, "one-more", "text.sleep", {"seconds": 40}).next()
    (refusal,) = refuse["payload"]["refusals"]
    assert refusal["reason"] == "capacity"
    assert refusal["retry_after"] > 0


async def test_an_award_of_an_older_owner_is_fenced(stranger: Speaker) -> None:
    content = {"conversation": "talk", "capability": "text.upper", "input": {"text": "x"}}
    newer = {"job": "j1", "epoch": 2}
    assert (await stranger.act(CLERK, "accept-proposal", {**content, "award": "a1"}, **newer).next())["name"] == (
        "inform-result"
    )
    older = {"job": "j1", "epoch": 1}
    refuse = await stranger.act(CLERK, "accept-proposal", {**content, "award": "a2"}, **older).next()
    assert refuse["payload"]["refusals"][0]["reason"] == "fenced"


# -- calls for proposals


async def test_a_directed_call_is_answered_with_a_proposal_that_can_be_awarded(stranger: Speaker) -> None:
    call = {"conversation": "talk", "capability": "text.upper", "window": 20.0}
    propose = await stranger.act(CLERK, "call-for-proposal", call).next()
    (proposal,) = propose["payload"]["proposals"]
    assert (proposal["process"], proposal["agent"], proposal["instance"]) == ("ours", "clerk", "desk")
    assert (proposal["labels"], proposal["version"]) == ({"floor": "first"}, "1.2.0")
    award = stranger.award(CLERK, "a1", "text.upper", {"text": "hello"}, proposal=proposal["id"])
    assert (await award.next())["payload"]["content"] == "HELLO"


async def test_a_broadcast_is_answered_by_every_process_and_the_losers_are_told(
    stranger: Speaker, ours: Mesh, server: object, namespace: str
) -> None:
    async with Mesh.connect(server.url, namespace=namespace, process="others") as others:  # type: ignore[attr-defined]
        await others.host(Clerk, instance="desk")
        call = stranger.call("text.upper", {"conversation": "talk", "window": 20.0})
        offers = {}
        for _ in range(2):
            propose = await call.next()
            offers[propose["sender"]["process"]] = propose["payload"]["proposals"][0]
        winner, loser = offers["ours"], offers["others"]
        assert others.participant.book.bids.count("clerk.desk", others.peer.clock.monotonic()) == 1
        award = stranger.award(CLERK, "a1", "text.upper", {"text": "hello"}, proposal=winner["id"])
        assert (await award.until("inform-result"))[-1]["payload"]["content"] == "HELLO"
        reject = {"conversation": "talk", "proposal": loser["id"], "reason": "outbid"}
        stranger.act("others.clerk.desk", "reject-proposal", reject)
        stale = stranger.award("others.clerk.desk", "a2", "text.upper", {"text": "x"}, proposal=loser["id"])
        assert (await stale.next())["payload"]["refusals"][0]["reason"] == "expired"


async def test_a_call_that_nobody_listens_to_is_told_at_once(stranger: Speaker) -> None:
    with pytest.raises(Nobody):
        await stranger.call("text.sing", {"conversation": "talk", "window": 20.0}).next()


async def test_who_cannot_do_it_says_so_in_the_proposal(stranger: Speaker) -> None:
    call = {"conversation": "talk", "capability": "text.upper", "window": 20.0}
    constraints = {"boundary": "eu"}
    propose = await stranger.act(CLERK, "call-for-proposal", call, constraints=constraints).next()
    assert "proposals" not in propose["payload"]
    assert propose["payload"]["refusals"][0]["reason"] == "boundary"


async def test_an_award_for_what_an_instance_does_not_offer_was_not_begun(stranger: Speaker) -> None:
    reply = await stranger.award(CLERK, "a1", "text.sing", {}).next()
    assert (reply["kind"], reply["fault"]["code"], reply["fault"]["detail"]["begun"]) == (
        "reply",
        "unknown-agent",
        False,
    )


@pytest.mark.parametrize(
    ("performative", "content", "code"),
    [("accept-proposal", {"award": "a1"}, "bad-envelope"), ("haggle", {}, "not-understood")],
)
async def test_an_act_that_makes_no_sense_is_answered_with_a_fault(
    stranger: Speaker, performative: str, content: dict[str, object], code: str
) -> None:
    reply = await stranger.act(CLERK, performative, content).next()
    assert (reply["kind"], reply["fault"]["code"]) == ("reply", code)


async def test_a_call_that_makes_no_sense_is_not_understood_and_says_why(stranger: Speaker) -> None:
    answer = await stranger.call("text.upper", {"window": 20.0}).next()
    assert (answer["kind"], answer["name"], answer["sender"]["process"]) == ("act", "not-understood", "ours")
    assert "conversation" in answer["payload"]["reason"]
    assert answer["fault"]["code"] == "bad-envelope"
