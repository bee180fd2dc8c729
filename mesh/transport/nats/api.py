"""JetStream's API: JSON questions on `$JS.API.…`, and what its refusals mean."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from mesh.protocols.errors import Conflict, MeshError, NoResponders, Refused, TimedOut, TooLarge, Unavailable
from mesh.transport.nats.bus import NatsBus

log = logging.getLogger("mesh.transport")

T = TypeVar("T")

PREFIX = "$JS.API."
TIMEOUT = 5.0
TRIES = 3
"""How often `insist` asks, 5 s each: a cluster needs 4 to 6 s to elect a leader."""
SETTLES_WITHIN = 15.0
"""Seconds that a cluster may take until all of its servers know what one of them has made, or who decides: after a vote that
nobody has won it votes again within 9."""
SETTLE_FIRST, SETTLE_LONGEST = 0.02, 0.5
NANOSECONDS = 1_000_000_000

WRONG_SEQUENCE = (10071, 10164, 10158)
"""Another sequence is there · (R3) another append to the subject, or this very one, is on its way in."""
STREAM_NOT_FOUND = 10059
NO_LEADER = 10008
"""The servers of the cluster have not agreed yet on the one that decides what is made."""
CONSUMER_NOT_FOUND = 10014
NO_MESSAGE = 10037
OTHER_CONFIGURATION = 10058
TOO_FEW_SERVERS = 10005
"""So few that the one that decides knows of, which may be in the middle of finding them."""
TOO_BIG = (10054,)
"""More than the stream takes in one message."""
NO_ROOM = (10002, 10023, 10047, 10077)
"""The account, the server or its disk is full: not the message's fault, and it passes once an operator makes room."""


class ApiError(msgspec.Struct, frozen=True):
    """A refusal in the server's words."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: ApiError | None = None


class MissingStream(Unavailable):
    """The stream does not exist (any more)."""

    code = "missing-stream"


class MissingConsumer(Unavailable):
    """The consumer does not exist (any more)."""

    code = "missing-consumer"


class OtherConfiguration(Refused):
    """Something of that name exists in another shape."""

    code = "other-configuration"


async def call(bus: NatsBus, verb: str, body: Any = None, *, timeout: float = TIMEOUT) -> bytes:
    """Ask the API and return its raw answer.

    Raises:
        NoResponders: JetStream is away. Or what `refusal` makes of the server's error.
    """
    data = b"" if body is None else msgspec.json.encode(body)
    try:
        reply = await bus.request(PREFIX + verb, data, timeout=timeout)
    except NoResponders as error:
        raise NoResponders(f"JetStream is away or not enabled for this account ({verb})") from error
    answer = msgspec.json.decode(reply.data, type=_Answer)
    if answer.error is not None:
        raise refusal(answer.error, verb)
    return reply.data


async def insist(bus: NatsBus, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while nobody answers, or nobody is there to decide, as in a cluster that elects a leader, or while there are too
    few servers, as in one that comes up. Only for what may be done twice.

    Raises:
        TimedOut: nobody has answered `TRIES` times.
        What the answer was, if it is still so after `SETTLES_WITHIN`.
    """
    silent, patience = 0, _Patience(bus)
    while True:
        try:
            return await ask()
        except TimedOut as error:
            silent += 1
            if silent == TRIES:
                raise
            log.info("JetStream does not answer, perhaps it elects a leader; it is asked again: %s", error)
        except MeshError as error:
            if error.detail.get("err_code") not in (NO_LEADER, TOO_FEW_SERVERS) or patience.over:
                raise
            log.info("the cluster comes up, or elects a leader; it is asked again: %s", error)
            await patience.pause()


async def settled(bus: NatsBus, ask: Callable[[], Awaitable[T]], *, unsettled: type[MeshError] = MissingStream) -> T:
    """Ask again while the answer is that there is nothing of what was just made. Only for what is known to be made.

    In a cluster the server that is to lead a new stream answers for it before it has made it (10059), and it takes a moment
    until every server knows who takes what is sent to it (no responders).

    Raises:
        What `unsettled` names: it is still so after `SETTLES_WITHIN`.
    """
    patience = _Patience(bus)
    while True:
        try:
            return await ask()
        except unsettled as error:
            if patience.over:
                raise
            log.info("what was just made is not known everywhere yet; once more: %s", error)
        await patience.pause()


class _Patience:
    """Pauses that double, for as long as a cluster may take."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._give_up = bus.clock.monotonic() + SETTLES_WITHIN
        self._pause = SETTLE_FIRST

    @property
    def over(self) -> bool:
        """Whether it has taken too long."""
        return self._bus.clock.monotonic() >= self._give_up

    async def pause(self) -> None:
        """Wait for a moment, and longer the next time."""
        await self._bus.clock.sleep(self._bus.ids.random.uniform(self._pause / 2, self._pause))
        self._pause = min(self._pause * 2, SETTLE_LONGEST)


def refusal(error: ApiError, what: str) -> MeshError:
    """The typed error for a refusal; its detail carries the server's `err_code`."""
    detail = {"err_code": error.err_code}
    words = f"{what}: {error.description} ({error.err_code})"
    if error.err_code in WRONG_SEQUENCE:
        return Conflict(words, detail=detail)
    if error.err_code == STREAM_NOT_FOUND:
        return MissingStream(words, detail=detail)
    if error.err_code == CONSUMER_NOT_FOUND:
        return MissingConsumer(words, detail=detail)
    if error.err_code == OTHER_CONFIGURATION:
        return OtherConfiguration(words, detail=detail)
    if error.err_code in TOO_BIG:
        return TooLarge(words, detail=detail)
    if error.err_code in NO_ROOM:
        return Unavailable(f"{words}: the server's store is full, make room", detail=detail)
    return (Unavailable if error.code >= 500 else Refused)(words, detail=detail)
