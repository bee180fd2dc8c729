"""A stranger asks an agent of ours: sections 2, 3 and 9 of the document."""

from __future__ import annotations

import json

import msgspec
import pytest

from mesh.client.mesh import Mesh
from tests.foreign import kept
from tests.foreign.our_agents import Clerk
from tests.foreign.speech import Nobody, Speaker

pytestmark = pytest.mark.server

CLERK = "ours.clerk.desk"


@pytest.fixture(autouse=True)
async def _clerk(ours: Mesh) -> None:
    await ours.host(Clerk, instance="desk")


async def test_a_command_is_answered_with_one_reply_that_names_its_cause(stranger: Speaker) -> None:
    question = stranger.envelope("command", "upper", {"text": "hello"}, remaining=30.0)
    reply = await stranger.to(CLERK, question).next()
    assert (reply["kind"], reply["name"], reply["payload"]) == ("reply", "upper", "HELLO")
    assert (reply["causation"], reply["correlation"]) == (question["id"], question["correlation"])
    assert reply["sender"] == {"agent": "clerk", "instance": "desk", "process": "ours"}
    assert reply["usage"]["exit_status"] == "success"
    assert reply["stamps"] == {"agent_version": "1.2.0"}


async def test_items_come_numbered_and_the_reply_says_how_many_there_were(stranger: Speaker) -> None:
    *items, reply = await stranger.ask(CLERK, "count", {"until": 3}).until("reply")
    assert [(each["kind"], each.get("seq", 0), each["payload"]) for each in items] == [
        ("item", 0, 0),
        ("item", 1, 1),
        ("item", 2, 2),
    ]
    assert reply["seq"] == 3


async def test_progress_comes_before_the_reply(stranger: Speaker) -> None:
    kinds = [each["kind"] for each in await stranger.ask(CLERK, "slowly", {"text": "x"}).until("reply")]
    assert kinds == ["progress", "reply"]


@pytest.mark.parametrize(
    ("command", "payload", "fields", "code", "error_class"),
    [
        ("upper", {"text": 7}, {}, "bad-payload", "semantic"),
        ("lower", {}, {}, "unknown-command", "semantic"),
        ("fail", None, {}, "handler-failed", "semantic"),
        ("sleep", {"seconds": 3}, {"remaining": 0.1}, "deadline-exceeded", "semantic"),
        ("upper", {"text": "x"}, {"v": 2}, "version-unsupported", "semantic"),
        ("upper", {"text": "x"}, {"chain": ["clerk"], "hops": 1}, "call-cycle", "semantic"),
        ("upper", {"text": "x"}, {"attempt": "one"}, "bad-envelope", "semantic"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_a_typed_fault(
    stranger: Speaker, command: str, payload: object, fields: dict[str, object], code: str, error_class: str
) -> None:
    reply = await stranger.ask(CLERK, command, payload, **fields).next()
    assert (reply["fault"]["code"], reply["fault"]["error_class"]) == (code, error_class)


async def test_an_instance_that_is_not_there_is_told_from_a_process_that_is_not_there(stranger: Speaker) -> None:
    fault = (await stranger.ask("ours.clerk.attic", "upper", {"text": "x"}).next())["fault"]
    assert (fault["code"], fault["detail"]["begun"]) == ("unknown-agent", False)
    with pytest.raises(Nobody):
        await stranger.ask("elsewhere.clerk.desk", "upper", {"text": "x"}).next()


async def test_no_answer_leaves_for_a_subject_that_is_not_the_askers_own(stranger: Speaker, ours: Mesh) -> None:
    heard: list[object] = []
    stranger.wire.subscribe(f"{stranger.ns}.rep.victim.>", heard.append)
    question = json.dumps(stranger.envelope("command", "upper", {"text": "x"})).encode()
    subject = f"{stranger.ns}.rpc.{CLERK}.{stranger.process}"
    stranger.wire.publish(subject, question, f"{stranger.ns}.rep.victim.ours.t1")
    stranger.wire.publish(subject, question, "_INBOX.mine.1")
    await stranger.ask(CLERK, "upper", {"text": "x"}).next()
    assert heard == []
    assert ours.peer.counts["bad-reply-subject"] == 2


async def test_a_probe_tells_how_the_instance_is(stranger: Speaker) -> None:
    reply = await stranger.to(CLERK, stranger.envelope("control", "probe")).next()
    assert reply["payload"]["state"] == "ready"
    assert reply["payload"]["process"] == "ours"
    assert reply["payload"]["figures"]["capacity"] == 4


async def test_a_cancel_names_a_command_of_the_same_process_and_stops_it(stranger: Speaker) -> None:
    question = stranger.envelope("command", "sleep", {"seconds": 40}, remaining=50.0)
    sleeping = stranger.to(CLERK, question)
    stopped = await stranger.to(CLERK, stranger.envelope("control", "cancel", {"id": question["id"]})).next()
    assert stopped["payload"] is True
    assert (await sleeping.next())["fault"]["code"] == "cancelled"


async def test_a_large_answer_is_fetched_from_the_object_store(stranger: Speaker) -> None:
    answers = stranger.ask(CLERK, "repeat", {"text": "x" * 100, "times": 3000})
    assert (await answers.next())["payload"] == "x" * 300_000


async def test_a_large_question_is_put_into_the_object_store_first(stranger: Speaker) -> None:
    await stranger.ask(CLERK, "repeat", {"text": "x" * 100, "times": 3000}).next()
    payload = json.dumps({"text": "y" * 200_000}).encode()
    reference = await kept.put_object(stranger.wire, f"{stranger.names}objects", payload)
    reply = await stranger.ask(CLERK, "upper", None, ref=reference).next()
    assert reply["ref"]["size"] == 200_002
    assert reply["payload"] == "Y" * 200_000


async def test_a_command_without_a_reply_subject_is_done_and_not_answered(stranger: Speaker, ours: Mesh) -> None:
    question = stranger.envelope("command", "upper", {"text": "x"})
    stranger.wire.publish(f"{stranger.ns}.rpc.{CLERK}.{stranger.process}", json.dumps(question).encode())
    await stranger.ask(CLERK, "slowly", {"text": "x"}).until("reply")
    assert (await stranger.to(CLERK, stranger.envelope("control", "probe")).next())["payload"]["figures"][
        "handled"
    ] == 2


async def test_a_question_in_msgpack_is_answered_in_json(stranger: Speaker) -> None:
    question = stranger.envelope("command", "upper", {"text": "hello"})
    waiting = stranger.ask(CLERK, "upper", {"text": "not yet"})
    assert (await waiting.next())["payload"] == "NOT YET"
    subject, token = f"{stranger.ns}.rpc.{CLERK}.{stranger.process}", waiting.token
    stranger.wire.publish(subject, msgspec.msgpack.encode(question), f"{stranger.ns}.rep.stranger-1.ours.{token}")
    assert (await waiting.next())["payload"] == "HELLO"
