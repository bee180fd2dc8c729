"""What arrives on a socket, in pieces that leave the loop to others."""

from __future__ import annotations

import asyncio

import pytest

from mesh.transport.nats import inlet as under_test
from mesh.transport.nats.inlet import SLICE, Inlet
from mesh.transport.nats.library import UnexpectedEOF
from mesh.transport.nats.parser import MalformedFrame


class Wire(asyncio.Transport):
    """A connection that only knows whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Not looked at."""

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@pytest.fixture
async def inlet() -> Inlet:
    made = Inlet(lambda _: None)
    made.connection_made(Wire())
    return made


async def _streaming(inlet: Inlet, heard: list[bytes]) -> asyncio.Task[Exception]:
    task = asyncio.ensure_future(inlet.stream(heard.append, b""))
    await asyncio.sleep(0)
    return task


async def test_a_flood_leaves_the_loop_to_others_between_its_slices(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "TURN", 0.0)
    heard: list[bytes] = []
    task = await _streaming(inlet, heard)
    flood = bytes(range(256)) * (4 * SLICE // 256)
    inlet.data_received(flood)
    assert b"".join(heard) == flood[:SLICE]
    assert not inlet.transport.reading  # type: ignore[attr-defined]
    inlet.data_received(b"what came meanwhile")
    turns = 0
    while not inlet.transport.reading:  # type: ignore[attr-defined]
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 4
    assert b"".join(heard) == flood + b"what came meanwhile"
    task.cancel()


async def test_lines_come_before_the_stream_and_what_came_with_them_belongs_to_it(inlet: Inlet) -> None:
    inlet.data_received(b"INFO {}\r\nMSG ")
    assert await inlet.line() == b"INFO {}\r\n"
    heard: list[bytes] = []
    task = await _streaming(inlet, heard)
    inlet.data_received(b"a 1 0\r\n\r\n")
    assert b"".join(heard) == b"MSG a 1 0\r\n\r\n"
    task.cancel()


async def test_a_greeting_that_is_cut_short_is_told_as_far_as_it_came(inlet: Inlet) -> None:
    waiting = asyncio.ensure_future(inlet.line())
    inlet.data_received(b"INF")
    await asyncio.sleep(0)
    inlet.eof_received()
    assert await waiting == b"INF"
    assert await inlet.line() == b""


async def test_the_first_reason_for_the_end_stands_and_nothing_is_heard_after_it(inlet: Inlet) -> None:
    heard: list[bytes] = []

    def refuse(data: bytes) -> None:
        heard.append(data)
        raise MalformedFrame("no")

    task = asyncio.ensure_future(inlet.stream(refuse, b""))
    await asyncio.sleep(0)
    inlet.data_received(b"x")
    inlet.data_received(b"y")
    inlet.connection_lost(OSError("later"))
    assert isinstance(await task, MalformedFrame)
    assert heard == [b"x"]


async def test_a_surprise_in_what_takes_the_bytes_ends_the_connection_and_is_logged(
    inlet: Inlet, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(_: bytes) -> None:
        raise KeyError("surprise")

    task = asyncio.ensure_future(inlet.stream(break_down, b""))
    await asyncio.sleep(0)
    inlet.data_received(bytes(3 * SLICE))
    assert isinstance(await task, KeyError)
    assert "surprise" in caplog.text


async def test_who_waits_for_a_full_socket_hears_of_its_end(inlet: Inlet) -> None:
    inlet.pause_writing()
    draining = asyncio.ensure_future(inlet.drain())
    await asyncio.sleep(0)
    inlet.end(UnexpectedEOF())
    with pytest.raises(ConnectionResetError):
        await draining


async def test_who_waits_for_a_full_socket_goes_on_when_it_takes_more(inlet: Inlet) -> None:
    inlet.pause_writing()
    draining = asyncio.ensure_future(inlet.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    inlet.resume_writing()
    await draining
