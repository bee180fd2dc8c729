"""When what we say is written."""

from __future__ import annotations

import asyncio

from mesh.transport.nats.outbox import MEMORY, PING, PONG, WRITE_AT_ONCE, Outbox


def _open() -> tuple[Outbox, list[bytes]]:
    outbox, written = Outbox(), []
    outbox.open(written.append)
    return outbox, written


async def test_a_lone_frame_is_written_at_once() -> None:
    outbox, written = _open()
    outbox.put(b"a")
    assert written == [b"a"]


async def test_many_frames_are_gathered_over_a_turn_of_the_loop_in_their_order() -> None:
    outbox, written = _open()
    for number in range(10):
        outbox.put(b"%d" % number)
    assert written == [b"0"]
    await asyncio.sleep(0)
    assert written == [b"0", b"123456789"]
    assert outbox.waiting == 0


async def test_a_question_and_an_answer_in_turn_are_each_written_at_once() -> None:
    outbox, written = _open()
    for number in range(5):
        outbox.put(b"%d" % number)
        assert written[-1] == b"%d" % number
        outbox.heard()


async def test_a_busy_time_is_remembered_for_a_while() -> None:
    outbox, written = _open()
    for _ in range(10):
        outbox.put(b"a")
    await asyncio.sleep(0)
    outbox.heard()
    del written[:]
    outbox.put(b"b")
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"b"]
    for _ in range(MEMORY):
        outbox.heard()
    outbox.put(b"c")
    assert written == [b"b", b"c"]


async def test_a_lot_is_written_without_waiting_for_the_end_of_the_turn() -> None:
    outbox, written = _open()
    for _ in range(20):
        outbox.put(bytes(WRITE_AT_ONCE // 2))
        assert outbox.waiting <= WRITE_AT_ONCE
    assert sum(map(len, written)) + outbox.waiting == 10 * WRITE_AT_ONCE


async def test_a_socket_that_takes_no_more_is_left_alone_until_it_does() -> None:
    outbox, written = _open()
    outbox.can_write(False)
    for _ in range(3):
        outbox.put(b"abc")
    await asyncio.sleep(0)
    assert (written, outbox.waiting) == ([], 9)
    outbox.can_write(True)
    assert (written, outbox.waiting) == ([b"abcabcabc"], 0)


async def test_what_was_kept_without_a_connection_leaves_with_the_next_but_for_questions_about_its_health() -> None:
    outbox = Outbox()
    written: list[bytes] = []
    for frame in (b"a", PING, b"b", PONG):
        outbox.put(frame)
    outbox.close()
    assert outbox.waiting == 2
    outbox.open(written.append)
    assert b"".join(written) == b"ab"


async def test_what_a_lost_connection_did_not_take_leaves_in_its_order_with_the_next() -> None:
    def gone(_: bytes) -> None:
        raise ConnectionResetError

    outbox, written = Outbox(), []
    outbox.open(gone)
    for frame in (b"a", b"b", PING, b"c"):
        outbox.put(frame)
    await asyncio.sleep(0)
    outbox.can_write(True)
    assert outbox.waiting == 3 + len(PING)
    outbox.close()
    outbox.open(written.append)
    assert b"".join(written) == b"abc"
