"""The parser against nats-py's own: the same frames, whatever pieces the bytes come in."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.protocol.parser import Parser as TheirParser

from mesh.transport.nats.parser import LARGEST_MESSAGE, LONGEST_LINE, MalformedFrame, Parser

SIDS = (b"1", b"2", b"77")
Told = tuple[Any, ...]


class Ours:
    """Our parser, and what it tells."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.parser = Parser({sid: self._receiver(int(sid)) for sid in SIDS}, self)

    def feed(self, data: bytes) -> None:
        self.parser.feed(data)

    def _receiver(self, sid: int) -> Any:
        return lambda subject, reply, block, data: self.told.append(("msg", sid, subject, reply, block, data))

    def heard_ping(self) -> None:
        self.told.append(("ping",))

    def heard_pong(self) -> None:
        self.told.append(("pong",))

    def heard_complaint(self, words: str) -> None:
        self.told.append(("err", words.lower()))

    def heard_info(self, body: bytes) -> None:
        self.told.append(("info", json.loads(body)))


class Theirs:
    """nats-py's parser, and what it tells."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.parser = TheirParser(self)

    def feed(self, data: bytes) -> None:
        _at_once(self.parser.parse(data))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, block: bytes | None) -> None:
        self.told.append(("msg", sid, subject, reply, block or b"", data))

    async def _process_ping(self) -> None:
        self.told.append(("ping",))

    async def _process_pong(self) -> None:
        self.told.append(("pong",))

    async def _process_err(self, words: str) -> None:
        self.told.append(("err", words.strip("'")))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(("info", info))


def _at_once(work: Coroutine[Any, Any, None]) -> None:
    """It waits for nothing."""
    with suppress(StopIteration):
        work.send(None)
        raise AssertionError("nats-py's parser waits for something")


def _message(subject: bytes, sid: bytes, reply: bytes, block: bytes | None, data: bytes, gap: bytes) -> bytes:
    words = [subject, sid, *([reply] if reply else [])]
    if block is None:
        return gap.join([b"MSG", *words, b"%d" % len(data)]) + b"\r\n" + data + b"\r\n"
    sizes = [b"%d" % len(block), b"%d" % (len(block) + len(data))]
    return gap.join([b"HMSG", *words, *sizes]) + b"\r\n" + block + data + b"\r\n"


_subjects = st.from_regex(rb"[a-zA-Z0-9$_\xc3\xa4-]{1,12}(\.[a-z0-9]{1,6}){0,3}", fullmatch=True)
_payloads = st.binary(max_size=200) | st.sampled_from([b"", b"\r\n", b"PING\r\n", b"MSG a 1 1\r\nx\r\n", b"x" * 5000])
_blocks = (
    st.none() | st.sampled_from([b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n"]) | st.binary(min_size=1, max_size=80)
)
_gaps = st.sampled_from([b" ", b"  ", b"\t"])
_messages = st.builds(_message, _subjects, st.sampled_from(SIDS), st.just(b"") | _subjects, _blocks, _payloads, _gaps)
_infos = st.dictionaries(st.sampled_from(["server_id", "ldm", "connect_urls"]), st.integers() | st.text(max_size=9))
_controls = st.one_of(
    st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"PING \r\n"]),
    st.from_regex(r"[a-zA-Z][a-zA-Z \"./]{0,40}[a-zA-Z]", fullmatch=True).map(
        lambda words: f"-ERR '{words}'\r\n".encode()
    ),
    _infos.map(lambda info: b"INFO " + json.dumps(info).encode() + b" \r\n"),
)
_streams = st.lists(_messages | _controls, max_size=12).map(b"".join)


@given(_streams, st.lists(st.integers(min_value=0, max_value=20_000), max_size=12))
@example(b"MSG a 1 0\r\n\r\n", [10, 11, 12])
@example(b"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", list(range(30)))
def test_whatever_pieces_frames_come_in_we_tell_what_nats_py_tells(stream: bytes, cuts: list[int]) -> None:
    ours, theirs = Ours(), Theirs()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for begin, end in pairwise(edges):
        ours.feed(stream[begin:end])
        theirs.feed(stream[begin:end])
        assert ours.told == theirs.told


@given(_streams)
def test_bytes_may_come_one_by_one(stream: bytes) -> None:
    whole, single = Ours(), Ours()
    whole.feed(stream)
    for number in range(len(stream)):
        single.feed(stream[number : number + 1])
    assert single.told == whole.told


@given(st.lists(st.binary(max_size=60) | _messages | _controls, max_size=12))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    ours = Ours()
    with suppress(MalformedFrame, json.JSONDecodeError):
        for piece in pieces:
            ours.feed(piece)


@pytest.mark.parametrize(
    "noise",
    [
        b"\r\n",
        b"GARBAGE\r\n",
        b"ping\r\n",
        b"PINGPONG\r\n",
        b"MSG\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 b c 5\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 -1\r\n",
        b"MSG a 1 3\r\nfour\r\n",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 9 5\r\n",
        b"HMSG a 1 -3 5\r\n",
        b"MSG a 1 %d\r\n" % (LARGEST_MESSAGE + 1),
        b"MSG a 1 " + b"9" * 5000 + b"\r\n",
    ],
)
def test_what_is_no_frame_is_refused_at_once(noise: bytes) -> None:
    ours = Ours()
    with pytest.raises(MalformedFrame, match="malformed"):
        ours.feed(noise)
    assert ours.told == []


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    ours = Ours()
    for _ in range(LONGEST_LINE // 1024):
        ours.feed(b"x" * 1024)
    with pytest.raises(MalformedFrame, match="without an end"):
        ours.feed(b"x")


def test_a_large_message_in_very_many_pieces_is_joined_once() -> None:
    """Joining it with each of its 65,536 pieces would copy 500 GB."""
    data = bytes(16 * 1024 * 1024)
    stream = b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(data), data)
    ours = Ours()
    for begin in range(0, len(stream), 256):
        ours.feed(stream[begin : begin + 256])
    assert ours.told == [("msg", 1, b"a", b"", b"", data), ("ping",)]


def test_messages_of_subscriptions_that_have_ended_are_passed_over() -> None:
    ours = Ours()
    ours.feed(b"MSG a 99 1\r\nx\r\nHMSG a 99 12 13\r\nNATS/1.0\r\n\r\nx\r\nMSG a 1 1\r\ny\r\n")
    assert ours.told == [("msg", 1, b"a", b"", b"", b"y")]


def test_a_receiver_that_raises_is_logged_and_the_next_message_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ours = Ours()
    parser = Parser({b"1": lambda *_: {}["broken"], b"2": ours._receiver(2)}, ours)
    parser.feed(b"MSG a 1 0\r\n\r\nMSG b 2 0\r\n\r\n")
    assert ours.told == [("msg", 2, b"b", b"", b"", b"")]
    assert "broken" in caplog.text


def test_after_a_reset_nothing_is_left_of_the_frame_before() -> None:
    ours = Ours()
    ours.feed(b"MSG a 1 100\r\nhalf of it")
    ours.parser.reset()
    ours.feed(b"PONG\r\n")
    assert ours.told == [("pong",)]
