"""Reading a stream by direct gets: one message, or pages of them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mesh.protocols.errors import Refused, TimedOut, Unavailable
from mesh.protocols.ports import Message, Stored
from mesh.transport.headers import DESCRIPTION, PENDING
from mesh.transport.nats.api import PREFIX, TIMEOUT, MissingStream
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.stored import from_direct_get, status

PAGE = 1000
PAGE_BYTES = 8 * 1024 * 1024
"""A page ends early with the message that passes this: the server cuts off clients that owe it too much reading."""


class TooMany(Refused):
    """More match than the server answers in one request: 1,024 subjects, or a page of messages."""


async def get_last(bus: NatsBus, stream: str, subject: str) -> Stored | None:
    """The newest message on an exact subject.

    Raises:
        NoResponders: the stream does not exist, or JetStream is away.
    """
    answer = await bus.request(f"{PREFIX}DIRECT.GET.{stream}.{subject}", b"", timeout=TIMEOUT)
    code = status(answer)
    if code == "404":
        return None
    _check(answer, code, stream)
    return from_direct_get(answer)


async def page_from(bus: NatsBus, stream: str, subject: str, after: int) -> Page:
    """The first messages on `subject` above `after`, in order."""
    return await _page(bus, stream, {"seq": after + 1, "next_by_subj": subject})


async def last_of_each(bus: NatsBus, stream: str, subjects: str, after: int = 0) -> list[Stored]:
    """The newest message of every matching subject, where it is above `after`, in order of sequence.

    All of it is one replica's answer: another one's, which lags behind, would know of some subjects only what stands before.

    Raises:
        TooMany: more than 1,024 match, wherever they stand; or what is found does not fit in a page.
    """
    page = await _page(bus, stream, {"multi_last": [subjects], "seq": after + 1})
    if page.pending:
        raise TooMany(f"reading {stream}: {page.pending} more than a page holds")
    return page.messages


class Page:
    """The answers to one batch request, collected as they come; `pending` are behind the last of them."""

    def __init__(self, stream: str) -> None:
        self.messages: list[Stored] = []
        self.pending = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream

    def receive(self, message: Message) -> None:
        """One message, or the end of the batch."""
        if self.done.done():
            return
        code = status(message)
        if not code:
            self._take(message)
        elif code == "204":
            self.pending = int((message.headers or {}).get(PENDING, 0))
            self.done.set_result(None)
        elif code == "404":
            self.done.set_result(None)
        else:
            self._fail(message, code)

    def _take(self, message: Message) -> None:
        """One message; a page that lacks one must not pass for whole."""
        try:
            self.messages.append(from_direct_get(message))
        except Refused as error:
            self.done.set_exception(error)

    def _fail(self, message: Message, code: str) -> None:
        try:
            _check(message, code, self._stream)
        except (Unavailable, Refused) as error:
            self.done.set_exception(error)

    def interrupt(self) -> None:
        """The connection was lost: the rest will not come."""
        if not self.done.done():
            self.done.set_exception(Unavailable(f"the connection was lost while {self._stream} was read"))


async def _page(bus: NatsBus, stream: str, question: dict[str, Any]) -> Page:
    bus.check_connected()
    page = Page(stream)
    reply = bus.converse(page.receive)
    bus.on_disconnect(page.interrupt)
    bus.on_close(page.interrupt)
    try:
        request = msgspec.json.encode({**question, "batch": PAGE, "max_bytes": PAGE_BYTES})
        bus.publish(f"{PREFIX}DIRECT.GET.{stream}", request, reply=reply)
        async with asyncio.timeout(TIMEOUT):
            await page.done
    except TimeoutError:
        raise TimedOut(f"reading {stream} took longer than {TIMEOUT:g} s") from None
    finally:
        bus.off_disconnect(page.interrupt)
        bus.off_close(page.interrupt)
        bus.hang_up(reply)
    return page


def _check(message: Message, code: str, stream: str) -> None:
    words = (message.headers or {}).get(DESCRIPTION, "")
    if code == "503":
        raise MissingStream(f"stream {stream} does not exist, or JetStream is away")
    if code == "413":
        raise TooMany(f"reading {stream}: {words}")
    if code:
        raise Refused(f"reading {stream}: {code} {words}", detail={"reason": words})
