from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.protocols.errors import Conflict, NoResponders, TooLarge, Unavailable
from mesh.protocols.ports import Store, Stored, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import eventually, eventually_none


@pytest.fixture
async def store(here: Connection, space: str) -> Store:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    return here.store


def _subjects(found: list[Stored]) -> list[str]:
    return [stored.subject.split(".", 1)[1] for stored in found]


async def test_an_append_is_stored_with_subject_data_headers_and_time(store: Store, space: str) -> None:
    ack = await store.append(f"{space}.a", b"data", headers={"X": "y"})
    assert (ack.stream, ack.sequence, ack.duplicate) == (space, 1, False)
    stored = await store.last(space, f"{space}.a")
    assert stored is not None
    assert (stored.subject, stored.data, stored.sequence, stored.headers) == (f"{space}.a", b"data", 1, {"X": "y"})
    assert stored.time > 1_700_000_000


async def test_an_append_guarded_by_the_last_sequence_succeeds_once(store: Store, space: str) -> None:
    first = await store.append(f"{space}.a", b"1", expected=0)
    with pytest.raises(Conflict):
        await store.append(f"{space}.a", b"2", expected=0)
    second = await store.append(f"{space}.a", b"2", expected=first.sequence)
    with pytest.raises(Conflict):
        await store.append(f"{space}.a", b"3", expected=first.sequence)
    assert [stored.data for stored in await store.read(space, f"{space}.a")] == [b"1", b"2"]
    assert second.sequence > first.sequence


async def test_the_guard_looks_at_the_exact_subject_only(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1", expected=0)
    await store.append(f"{space}.b", b"1", expected=0)
    await store.append(f"{space}.a", b"2", expected=1)


async def test_of_many_guarded_appends_at_once_exactly_one_wins(store: Store, space: str) -> None:
    results = await asyncio.gather(
        *(store.append(f"{space}.a", b"%d" % n, expected=0) for n in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(result, Conflict) for result in results if isinstance(result, BaseException))
    assert len(await store.read(space, f"{space}.a")) == 1


async def test_the_same_message_id_is_stored_once(store: Store, space: str) -> None:
    first = await store.append(f"{space}.a", b"1", message_id="entry-1")
    again = await store.append(f"{space}.a", b"1", message_id="entry-1")
    assert (again.sequence, again.duplicate) == (first.sequence, True)
    assert len(await store.read(space, f"{space}.a")) == 1


async def test_a_guarded_retry_of_a_stored_entry_is_a_conflict_and_is_found_by_reading_back(
    store: Store, space: str
) -> None:
    await store.append(f"{space}.a", b"1", message_id="entry-1", expected=0)
    with pytest.raises(Conflict):
        await store.append(f"{space}.a", b"1", message_id="entry-1", expected=0)
    assert [stored.data for stored in await store.read(space, f"{space}.a")] == [b"1"]


async def test_an_append_that_no_stream_captures_is_refused(here: Connection, space: str) -> None:
    with pytest.raises(NoResponders):
        await here.store.append(f"{space}.nowhere", b"")


async def test_too_large_an_append_is_refused(here: Connection, store: Store, space: str) -> None:
    with pytest.raises(TooLarge):
        await store.append(f"{space}.a", bytes(here.bus.max_payload + 1))


async def test_reading_gives_matching_messages_above_a_sequence_in_order(store: Store, space: str) -> None:
    for subject in ("a.1", "b.1", "a.2", "a.1"):
        await store.append(f"{space}.{subject}", b"")
    assert _subjects(await store.read(space, f"{space}.>")) == ["a.1", "b.1", "a.2", "a.1"]
    assert _subjects(await store.read(space, f"{space}.a.*")) == ["a.1", "a.2", "a.1"]
    assert _subjects(await store.read(space, f"{space}.a.1", after=1)) == ["a.1"]
    assert await store.read(space, f"{space}.a.1", after=4) == []
    assert await store.read(space, f"{space}.none") == []


@pytest.mark.parametrize("count", [1200, 2500])
async def test_reading_goes_on_for_as_long_as_there_is_more(here: Connection, space: str, count: int) -> None:
    store = here.store
    await store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",), storage="memory"))
    await asyncio.gather(*(store.append(f"{space}.a", b"%d" % n, headers={"X": "y"}, timeout=60) for n in range(count)))
    found = await store.read(space, f"{space}.a")
    assert [stored.sequence for stored in found] == list(range(1, count + 1))
    assert all(stored.headers == {"X": "y"} for stored in found)
    assert [stored.sequence for stored in await store.read(space, f"{space}.>", after=count - 7)] == list(
        range(count - 6, count + 1)
    )


async def test_the_last_of_a_subject_is_none_where_there_is_none(store: Store, space: str) -> None:
    assert await store.last(space, f"{space}.a") is None
    await store.append(f"{space}.a", b"1")
    await store.append(f"{space}.a", b"2")
    last = await store.last(space, f"{space}.a")
    assert last is not None
    assert last.data == b"2"


async def test_the_last_of_each_subject_comes_in_order_of_sequence(store: Store, space: str) -> None:
    for subject in ("a", "b", "a", "c.d"):
        await store.append(f"{space}.{subject}", b"")
    assert [(s.subject, s.sequence) for s in await store.last_each(space, f"{space}.*")] == [
        (f"{space}.b", 2),
        (f"{space}.a", 3),
    ]
    assert await store.last_each(space, f"{space}.none.*") == []
    assert [s.sequence for s in await store.last_each(space, f"{space}.>", after=2)] == [3, 4]
    assert await store.last_each(space, f"{space}.>", after=4) == []


@pytest.mark.parametrize("count", [600, 1500])
async def test_the_last_of_each_of_many_subjects(store: Store, space: str, count: int) -> None:
    await asyncio.gather(*(store.append(f"{space}.s.{n}", b"old", timeout=60) for n in range(count)))
    await asyncio.gather(*(store.append(f"{space}.s.{n}", b"new", timeout=60) for n in range(count)))
    found = await store.last_each(space, f"{space}.s.*")
    assert len(found) == count
    assert {stored.data for stored in found} == {b"new"}
    assert [stored.sequence for stored in found] == sorted(stored.sequence for stored in found)
    await store.append(f"{space}.s.7", b"newer")
    await store.append(f"{space}.s.7", b"newest")
    assert [each.data for each in await store.last_each(space, f"{space}.s.*", after=2 * count)] == [b"newest"]


async def test_ensuring_a_stream_again_changes_nothing_and_reshapes_it_where_asked(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    await store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    await store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>", f"{space}-more"), max_age=3600.0))
    await store.append(f"{space}-more", b"2")
    assert len(await store.read(space, ">")) == 2


async def test_a_stream_keeps_no_more_bytes_than_it_may(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",), max_bytes=8192))
    for number in range(20):
        await here.store.append(f"{space}.a", bytes(1024), expected=number)
    held = await here.store.read(space, f"{space}.a")
    assert 1 <= len(held) <= 8
    assert held[-1].sequence == 20


async def test_a_stream_keeps_nothing_longer_than_it_may(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",), max_age=1.0))
    await here.store.append(f"{space}.a", b"")
    await eventually_none(lambda: here.store.read(space, f"{space}.a"))


async def test_a_plain_publish_is_stored_and_heard(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    heard: list[bytes] = []
    await there.bus.subscribe(f"{space}.a", lambda m: heard.append(m.data))
    here.bus.publish(f"{space}.a", b"1", headers={"Nats-Msg-Id": "m1"})
    await store.append(f"{space}.a", b"2")
    await eventually(lambda: heard == [b"1", b"2"])
    held = await store.read(space, f"{space}.a")
    assert [stored.data for stored in held] == [b"1", b"2"]
    assert held[0].headers == {"Nats-Msg-Id": "m1"}


async def test_a_request_into_a_stream_is_answered_by_its_acknowledgement(
    here: Connection, store: Store, space: str
) -> None:
    answer = await here.bus.request(f"{space}.a", b"1", timeout=20)
    assert msgspec.json.decode(answer.data) == {"stream": space, "seq": 1}


async def test_a_stream_that_does_not_exist_is_unavailable(here: Connection, space: str) -> None:
    with pytest.raises((Unavailable, NoResponders)):
        await here.store.last(f"{space}-none", "x")
    with pytest.raises((Unavailable, NoResponders)):
        await here.store.read(f"{space}-none", "x")


async def test_a_message_id_cannot_end_its_line(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1", message_id="id\r\nX: injected", expected=0)
    stored = await store.last(space, f"{space}.a")
    assert stored is not None
    assert "X" not in (stored.headers or {})


async def test_purging_removes_matching_messages_up_to_a_sequence(store: Store, space: str) -> None:
    for subject in ("a.1", "b.1", "a.2", "a.1"):
        await store.append(f"{space}.{subject}", b"")
    assert await store.purge(space, f"{space}.a.*", up_to=3) == 2
    assert _subjects(await store.read(space, f"{space}.>")) == ["b.1", "a.1"]
    assert await store.purge(space, f"{space}.a.*", up_to=3) == 0
    assert await store.purge(space, f"{space}.a.*", up_to=0) == 0
    assert await store.purge(space, f"{space}.b.1") == 1
    assert _subjects(await store.read(space, f"{space}.>")) == ["a.1"]


async def test_a_purged_subject_begins_anew_but_sequences_go_on(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1", expected=0)
    await store.purge(space, f"{space}.a")
    assert await store.last(space, f"{space}.a") is None
    assert (await store.append(f"{space}.a", b"2", expected=0)).sequence == 2


async def test_what_was_purged_is_not_delivered_any_more(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"purged")
    await store.append(f"{space}.b", b"kept")
    await store.purge(space, f"{space}.a")
    consumer = await store.consumer(space, "work", (f"{space}.>",))
    delivery = await consumer.next(30)
    assert delivery is not None
    assert delivery.message.data == b"kept"
    await consumer.close()


async def test_purging_a_stream_that_does_not_exist_is_unavailable(here: Connection, space: str) -> None:
    with pytest.raises((Unavailable, NoResponders)):
        await here.store.purge(f"{space}-none", "x")


@pytest.mark.parametrize("code", ["100", "204", "404", "408", "503"])
async def test_an_empty_message_that_poses_as_the_servers_own_words_is_read_and_delivered(
    store: Store, space: str, code: str
) -> None:
    headers = {"Status": code, "Description": "posing", "Nats-Stream": "elsewhere", "Nats-Subject": "forged"}
    for body in (b"1", b"", b"3"):
        await store.append(f"{space}.a", body, headers=headers)
    assert [stored.data for stored in await store.read(space, f"{space}.a")] == [b"1", b"", b"3"]
    assert [stored.subject for stored in await store.read(space, f"{space}.a")] == [f"{space}.a"] * 3
    followed = store.follow(space, f"{space}.a")
    async with asyncio.timeout(30):
        assert [(await anext(followed)).data for _ in range(3)] == [b"1", b"", b"3"]
    await followed.aclose()  # type: ignore[attr-defined]
    consumer = await store.consumer(space, "work", (f"{space}.a",))
    for body in (b"1", b"", b"3"):
        delivery = await consumer.next(30)
        assert delivery is not None
        assert delivery.message.data == body
        await delivery.ack()
    await consumer.close()


async def test_the_last_message_may_pose_as_the_servers_own_words(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"", headers={"Status": "404"})
    last = await store.last(space, f"{space}.a")
    assert last is not None
    assert last.headers == {"Status": "404"}
