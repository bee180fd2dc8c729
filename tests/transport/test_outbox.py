"""When what we say is written."""

from __future__ import annotations

import asyncio

from mesh.transport.nats.outbox import PING, PONG, WRITE_AT_ONCE, Outbox


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
    assert len(written) == 2
    await asyncio.sleep(0)
    assert written == [b"0", b"1", b"23456789"]
    assert outbox.waiting == 0


async def test_what_is_said_in_answer_to_one_read_is_written_together_at_its_end() -> None:
    outbox, written = _open()
    outbox.reading()
    outbox.put(b"a")
    outbox.put(b"b")
    assert written == []
    outbox.answered()
    assert written == [b"ab"]


async def test_whoever_said_much_before_a_read_is_gathered_after_it_too() -> None:
    outbox, written = _open()
    for _ in range(10):
        outbox.put(b"a")
    await asyncio.sleep(0)
    outbox.reading()
    outbox.answered()
    del written[:]
    outbox.put(b"b")
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"b"]


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
