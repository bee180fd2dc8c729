"""`Snapshots` over a real server: its own copies of streams, handed over and taken back in pieces.

Taking: the server sends pieces to a private subject, and goes on as they are acknowledged; an empty message is the end.
Putting back: pieces are asked in, a few on their way at once; the answer to an empty one says what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mesh.protocols.errors import MeshError, NoResponders, TimedOut, Unavailable
from mesh.protocols.ports import Message, StreamState
from mesh.protocols.snapshots import Kept, Kind, Shape
from mesh.transport.headers import DESCRIPTION, EXPECTED_STREAM, STATUS
from mesh.transport.nats.api import TIMEOUT, ApiError, MissingStream, call, insist, refusal, settled
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.inventory import Listed, listed
from mesh.transport.nats.streams import bucket_stream, ensure, object_stream

log = logging.getLogger("mesh.transport")

PIECE = 128 * 1024
ON_THE_WAY = 16
"""Pieces that are on their way to the server at once."""
SILENCE = 30.0
"""Seconds without a word from the server after which a copy is given up."""
LAST_WORD = 3600.0
"""Seconds that the server may take to store a stream that it was given back: message by message, each synced to the disk where
its configuration says so."""
ATTEMPTS = 3
PAUSE = 0.5


class _Whole(msgspec.Struct):
    error: ApiError | None = None
    deliver_subject: str = ""


class NatsSnapshots:
    """The copies that one account's server makes."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def version(self) -> str:
        """The server's version, as it stands in what it says of any stream; `unknown` while there is none."""
        for state in await listed(self._bus, ("",)):
            answer = msgspec.json.decode(await call(self._bus, f"STREAM.INFO.{state.name}"), type=Listed)
            return str(answer.config.get("metadata", {}).get("_nats.ver", "unknown"))
        return "unknown"

    async def kept(self, prefix: str) -> list[Kept]:
        """Everything whose name begins with `prefix`."""
        names: dict[Kind, str] = {"stream": prefix, "bucket": bucket_stream(prefix), "objects": object_stream(prefix)}
        found = await listed(self._bus, tuple(names.values()))
        return [
            Kept(kind=next(kind for kind, start in names.items() if state.name.startswith(start)), state=state)
            for state in found
        ]

    async def take(self, stream: str, write: Callable[[bytes], None], *, consumers: bool) -> Shape:
        """Hand a copy of the stream to `write`, piece by piece."""
        taking = _Taking(self._bus, stream, write)
        inbox = self._bus.inbox()
        listening = self._bus.listen(
            inbox, taking.receive
        )  # the server looks for somebody on this very subject: 2 s, else
        self._bus.on_disconnect(taking.interrupt)
        self._bus.on_close(taking.interrupt)
        try:
            question = {"deliver_subject": inbox, "no_consumers": not consumers, "chunk_size": PIECE, "jsck": True}
            answer = await call(self._bus, f"STREAM.SNAPSHOT.{stream}", question, timeout=SILENCE)
            await taking.whole()
        finally:
            self._bus.off_disconnect(taking.interrupt)
            self._bus.off_close(taking.interrupt)
            listening.stop()
        return msgspec.json.decode(answer, type=Shape)

    async def put_back(self, shape: Shape, pieces: Callable[[], Iterable[bytes]]) -> StreamState:
        """Make the stream again from its copy. A server that breaks off in the middle is asked again: it has been seen to, under
        load, and to take the same copy the next time."""
        for _ in range(ATTEMPTS - 1):
            try:
                state = await self._put_back(shape, pieces())
                break
            except Unavailable as error:
                log.info("%s; once more", error)
                await self._bus.clock.sleep(PAUSE)
                await self.remove(shape.config["name"])
        else:
            state = await self._put_back(shape, pieces())
        if self._bus.cluster and shape.subjects:
            await self._led(shape.subjects[0])
        return state

    async def _put_back(self, shape: Shape, pieces: Iterable[bytes]) -> StreamState:
        name = shape.config["name"]
        answer = await call(self._bus, f"STREAM.RESTORE.{name}", shape, timeout=SILENCE)
        subject = msgspec.json.decode(answer, type=_Whole).deliver_subject
        asked: deque[asyncio.Future[Message]] = deque()
        rest = iter(pieces)
        _check(await self._first(subject, next(rest, b"")), name)
        try:
            for piece in rest:
                if len(asked) >= ON_THE_WAY:
                    _check(await asked.popleft(), name)
                asked.append(self._bus.ask(subject, piece, timeout=SILENCE))
            while asked:
                _check(await asked.popleft(), name)
            last = await self._bus.ask(subject, b"", timeout=LAST_WORD)
        finally:
            for each in asked:
                each.cancel()
        _check(last, name)
        return msgspec.json.decode(last.data, type=Listed).as_state()

    async def _first(self, subject: str, piece: bytes) -> Message:
        """In a cluster it takes a moment until every server knows who takes the pieces."""

        async def ask() -> Message:
            return await self._bus.ask(subject, piece, timeout=SILENCE)

        return await settled(self._bus, ask, unsettled=NoResponders)

    async def _led(self, subject: str) -> None:
        """In a cluster it takes a moment until a stream has a leader, and everybody knows: until somebody refuses what says
        that it is for another one."""
        where, other = subject.replace("*", "led").replace(">", "led"), {EXPECTED_STREAM: "~"}

        async def ask() -> Message:
            return await self._bus.request(where, b"", timeout=TIMEOUT, headers=other)

        await settled(self._bus, lambda: insist(self._bus, ask), unsettled=NoResponders)

    async def reshape(self, config: dict[str, Any]) -> None:
        """Give a stream this configuration, or make an empty one with it."""
        await ensure(self._bus, config)

    async def remove(self, stream: str) -> None:
        """Remove a stream with everything in it."""
        try:
            await call(self._bus, f"STREAM.DELETE.{stream}", timeout=SILENCE)
        except MissingStream:
            return


class _Taking:
    """One copy on its way here."""

    def __init__(self, bus: NatsBus, stream: str, write: Callable[[bytes], None]) -> None:
        self._bus = bus
        self._stream = stream
        self._write = write
        self._heard = asyncio.Event()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def whole(self) -> None:
        """Wait for the end.

        Raises:
            Unavailable · TimedOut: it never came, or the server gave up.
        """
        while not self._done.done():
            self._heard.clear()
            try:
                async with asyncio.timeout(SILENCE):
                    await self._heard.wait()
            except TimeoutError:
                raise TimedOut(f"no word of {self._stream} from the server for {SILENCE:g} s") from None
        self._done.result()

    def receive(self, message: Message) -> None:
        """One piece, or the end."""
        if self._done.done():
            return None
        self._heard.set()
        if not message.data:
            return self._end(message)
        try:
            self._write(message.data)
            if message.reply:
                self._bus.publish(message.reply, b"")
        except MeshError as error:
            self._done.set_exception(error)

    def interrupt(self) -> None:
        """The connection was lost: the rest will not come."""
        self._fail("the connection was lost")

    def _end(self, message: Message) -> None:
        headers = message.headers or {}
        if headers.get(STATUS, "204") == "204":
            self._done.set_result(None)
        else:
            self._fail(f"{headers[STATUS]} {headers.get(DESCRIPTION, '')}")

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(Unavailable(f"the server's copy of {self._stream} broke off: {why}; try again"))
            self._heard.set()


def _check(answer: Message, stream: str) -> None:
    if answer.data:
        error = msgspec.json.decode(answer.data, type=_Whole).error
        if error is not None:
            raise refusal(error, f"putting {stream} back")
