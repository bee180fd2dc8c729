from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.protocols.errors import InvalidName, NoResponders, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Message
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually


async def test_messages_arrive_in_the_order_they_were_published(
    here: Connection, there: Connection, space: str
) -> None:
    heard: list[bytes] = []
    await there.bus.subscribe(f"{space}.a", lambda m: heard.append(m.data))
    for number in range(500):
        here.bus.publish(f"{space}.a", b"%d" % number)
    await eventually(lambda: len(heard) == 500)
    assert heard == [b"%d" % number for number in range(500)]


async def test_a_handler_never_runs_inside_publish(here: Connection, space: str) -> None:
    heard: list[Message] = []
    await here.bus.subscribe(space, heard.append)
    here.bus.publish(space, b"x")
    assert heard == []
    await eventually(lambda: heard)


async def test_subject_reply_data_and_headers_arrive_as_sent(here: Connection, there: Connection, space: str) -> None:
    heard: list[Message] = []
    await there.bus.subscribe(space, heard.append)
    here.bus.publish(space, b"\x00\r\n\xff", reply=f"{space}.r", headers={"Trace": "abc", "Other": "d: e"})
    await eventually(lambda: heard)
    assert heard == [Message(space, b"\x00\r\n\xff", f"{space}.r", {"Trace": "abc", "Other": "d: e"})]


@pytest.mark.parametrize(
    ("pattern", "hears"),
    [("a.*", ["a.b"]), ("a.>", ["a.b", "a.b.c"]), ("*.b.c", ["a.b.c"]), ("a", ["a"]), ("*.*", ["a.b", "x.y"])],
)
async def test_wildcards_mean_whole_tokens(
    here: Connection, there: Connection, space: str, pattern: str, hears: list[str]
) -> None:
    heard: list[str] = []
    await there.bus.subscribe(f"{space}.{pattern}", lambda m: heard.append(m.subject.removeprefix(f"{space}.")))
    for subject in ("a", "a.b", "a.b.c", "x.y"):
        here.bus.publish(f"{space}.{subject}", b"")
    await _settle(here, there, space)
    assert heard == hears


async def test_each_message_goes_to_one_member_of_a_queue_group(
    here: Connection, there: Connection, space: str
) -> None:
    first: list[bytes] = []
    second: list[bytes] = []
    everything: list[bytes] = []
    await here.bus.subscribe(space, lambda m: first.append(m.data), queue="workers")
    await there.bus.subscribe(space, lambda m: second.append(m.data), queue="workers")
    await there.bus.subscribe(space, lambda m: everything.append(m.data))
    sent = [b"%d" % number for number in range(200)]
    for data in sent:
        here.bus.publish(space, data)
    await eventually(lambda: len(everything) == 200 and len(first) + len(second) == 200)
    assert sorted(first + second) == sorted(sent)
    assert first
    assert second


async def test_a_request_is_answered(here: Connection, there: Connection, space: str) -> None:
    await there.bus.subscribe(space, lambda m: there.bus.publish(m.reply, m.data + b"!", headers={"H": "1"}))
    answer = await here.bus.request(space, b"hello", timeout=20)
    assert (answer.data, answer.headers) == (b"hello!", {"H": "1"})


async def test_many_requests_at_once_get_their_own_answers(here: Connection, there: Connection, space: str) -> None:
    await there.bus.subscribe(space, lambda m: there.bus.publish(m.reply, m.data))
    answers = await asyncio.gather(*(here.bus.request(space, b"%d" % n, timeout=20) for n in range(200)))
    assert [answer.data for answer in answers] == [b"%d" % n for n in range(200)]


async def test_a_request_to_nobody_fails_at_once(here: Connection, space: str) -> None:
    with pytest.raises(NoResponders, match=space):
        await asyncio.wait_for(here.bus.request(space, b"", timeout=30), 25)


async def test_every_subscription_that_matches_hears_that_nobody_listens(here: Connection, space: str) -> None:
    heard: list[str] = []
    await here.bus.subscribe(f"{space}.rep.>", lambda _: heard.append("all"))
    await here.bus.subscribe(f"{space}.rep.*.probe", lambda _: heard.append("one"))
    here.bus.publish(f"{space}.nobody", b"", reply=f"{space}.rep.x.probe")
    await here.bus.flush()
    assert sorted(heard) == ["all", "one"]


async def test_a_publish_with_a_reply_to_nobody_is_answered_with_no_responders(here: Connection, space: str) -> None:
    heard: list[Message] = []
    await here.bus.subscribe(f"{space}.reply", heard.append)
    here.bus.publish(f"{space}.nobody", b"", reply=f"{space}.reply")
    await eventually(lambda: heard)
    assert heard[0].no_responders


async def test_a_request_that_nobody_answers_times_out(here: Connection, there: Connection, space: str) -> None:
    await there.bus.subscribe(space, lambda m: None)
    with pytest.raises(TimedOut):
        await here.bus.request(space, b"", timeout=0.05)


async def test_a_late_answer_disturbs_nobody(here: Connection, there: Connection, space: str) -> None:
    asked: list[Message] = []
    await there.bus.subscribe(space, asked.append)
    with pytest.raises(TimedOut):
        await here.bus.request(space, b"", timeout=0.05)
    await eventually(lambda: asked)
    there.bus.publish(asked[0].reply, b"late")
    await there.bus.flush()
    await here.bus.flush()


async def test_too_large_a_message_is_refused_before_it_is_sent(here: Connection, space: str) -> None:
    with pytest.raises(TooLarge) as caught:
        here.bus.publish(space, bytes(here.bus.max_payload + 1))
    assert caught.value.detail == {"size": here.bus.max_payload + 1, "limit": here.bus.max_payload}
    here.bus.publish(space, bytes(here.bus.max_payload))
    await here.bus.flush()


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a.*", "a.>", "a..b", ".a", "a.", f"a.{'b' * 5000}"])
async def test_a_subject_that_cannot_be_published_to_is_refused(here: Connection, subject: str) -> None:
    with pytest.raises(InvalidName):
        here.bus.publish(subject, b"")


@pytest.mark.parametrize("pattern", ["", "a b", "a..b", "a.>.b", "a.b*", f"a.{'b' * 5000}.>"])
async def test_a_pattern_that_means_nothing_is_refused(here: Connection, pattern: str) -> None:
    with pytest.raises(InvalidName):
        await here.bus.subscribe(pattern, lambda m: None)


async def test_a_handler_that_raises_is_logged_and_hears_the_next_message(
    here: Connection, there: Connection, space: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []

    def handler(message: Message) -> None:
        heard.append(message.data)
        raise ValueError("broken handler")

    await there.bus.subscribe(space, handler)
    with caplog.at_level(logging.ERROR, "mesh.transport"):
        here.bus.publish(space, b"1")
        here.bus.publish(space, b"2")
        await eventually(lambda: heard == [b"1", b"2"])
    assert "broken handler" in caplog.text


async def test_a_closed_subscription_hears_nothing_and_may_be_closed_again(
    here: Connection, there: Connection, space: str
) -> None:
    heard: list[Message] = []
    subscription = await there.bus.subscribe(space, heard.append)
    await subscription.close()
    await subscription.close()
    here.bus.publish(space, b"")
    await _settle(here, there, space)
    assert heard == []


async def test_closing_is_idempotent_and_ends_everything_typed(place: Place, space: str) -> None:
    connection = await place.connect()
    await connection.close()
    await connection.close()
    assert not connection.bus.connected
    with pytest.raises(Unavailable):
        connection.bus.publish(space, b"")
    with pytest.raises(Unavailable):
        await connection.bus.request(space, b"", timeout=1)
    with pytest.raises(Unavailable):
        await connection.bus.subscribe(space, lambda m: None)
    with pytest.raises(Unavailable):
        await connection.bus.flush()


async def test_what_was_published_before_close_still_leaves(place: Place, there: Connection, space: str) -> None:
    heard: list[Message] = []
    await there.bus.subscribe(space, heard.append)
    connection = await place.connect()
    connection.bus.publish(space, b"last words")
    await connection.close()
    await eventually(lambda: heard)


async def test_a_request_in_flight_fails_when_the_connection_is_closed(
    place: Place, there: Connection, space: str
) -> None:
    await there.bus.subscribe(space, lambda m: None)
    connection = await place.connect()
    question = asyncio.ensure_future(connection.bus.request(space, b"", timeout=30))
    await connection.bus.flush()
    await connection.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(question, 25)


async def test_every_connection_has_an_identity_of_its_own(here: Connection, there: Connection) -> None:
    assert here.bus.client[0] == there.bus.client[0] != ""
    assert here.bus.client[1] != there.bus.client[1]


async def test_the_end_of_a_connection_is_announced_with_its_identity(place: Place, here: Connection) -> None:
    heard: list[Message] = []
    await here.bus.subscribe("$SYS.ACCOUNT.MESH.DISCONNECT", heard.append)
    leaving = await place.connect("leaving")
    server, client = leaving.bus.client
    await leaving.close()
    await eventually(lambda: any(_names(m, server, client) for m in heard))


def _names(message: Message, server: str, client: int) -> bool:
    import msgspec

    body = msgspec.json.decode(message.data)
    return bool(body["server"]["id"] == server and body["client"]["id"] == client)


async def _settle(sender: Connection, hearer: Connection, space: str) -> None:
    """Everything sent so far has been handed to the hearer: a marker that was sent last has."""
    marker: list[Message] = []
    subscription = await hearer.bus.subscribe(f"{space}-settled", marker.append)
    sender.bus.publish(f"{space}-settled", b"")
    await eventually(lambda: marker)
    await subscription.close()
