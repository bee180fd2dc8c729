"""Asking processes whether they live: the dead are told at once by the server, the living answer with their figures.

A probe goes to `live.<process>.<incarnation>`, which that one start of the process alone subscribes to. A 503 means dead,
an answer (the parts of a full beat) alive, silence frozen or overloaded. Last of all a subject is asked that nobody can
listen to: when its 503 comes back, those of all the dead have come, in one round trip however many were asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from mesh.protocols.errors import InvalidName, TimedOut
from mesh.protocols.ports import Bus, Clock, Ids, Message, Subscription
from mesh.protocols.subjects import Subjects
from mesh.registry.records import Beat, beat_in

OnBeat = Callable[[Beat], None]


class Round:
    """One question to many processes. `dead` is complete after `fence`; `answered` maps a process to its seconds."""

    def __init__(self, asked: Mapping[str, str], fence: str, clock: Clock, on_beat: OnBeat) -> None:
        loop = asyncio.get_running_loop()
        self.asked = dict(asked)
        self.dead: set[str] = set()
        self.answered: dict[str, float] = {}
        self._fence = fence
        self._clock = clock
        self._on_beat = on_beat
        self._began = clock.monotonic()
        self._fenced: asyncio.Future[None] = loop.create_future()
        self._complete: asyncio.Future[None] = loop.create_future()
        self._subscription: Subscription | None = None

    @property
    def silent(self) -> set[str]:
        """Those of whom nothing was heard yet."""
        return self.asked.keys() - self.dead - self.answered.keys()

    async def fence(self, timeout: float) -> None:
        """Until the dead are known.

        Raises:
            TimedOut: the server did not answer within `timeout` seconds.
        """
        if not await _within(self._fenced, timeout):
            raise TimedOut(f"the server did not answer a probe within {timeout:g} s")

    async def complete(self, timeout: float) -> bool:
        """Until everybody has answered or is known to be dead; False when `timeout` seconds were not enough."""
        return await _within(self._complete, timeout)

    async def close(self) -> None:
        """Hear no more answers. Again: nothing happens."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    def opened(self, subscription: Subscription) -> None:
        """The answers are listened for; the count begins."""
        self._subscription = subscription
        self._began = self._clock.monotonic()

    def heard(self, responder: str, message: Message) -> None:
        """An answer, or the server's word that there is nobody to answer."""
        if responder == self._fence:
            _done(self._fenced)
        elif message.no_responders:
            self.dead.add(responder)
        elif responder in self.asked:
            self._answer(responder, message)
        if not self.silent and self._fenced.done():
            _done(self._complete)

    def _answer(self, responder: str, message: Message) -> None:
        beat = beat_in(responder, message.data)
        if beat is None or beat.incarnation != self.asked[responder]:
            return
        self._on_beat(beat)
        if not beat.more:
            self.answered[responder] = self._clock.monotonic() - self._began


class Probes:
    """Opens rounds of probes in the name of the process `me`."""

    def __init__(self, bus: Bus, clock: Clock, ids: Ids, subjects: Subjects, me: str) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._subjects = subjects
        self._me = me

    async def ask(self, asked: Mapping[str, str], on_beat: OnBeat = lambda _: None) -> Round:
        """Ask processes (name → incarnation). Close the round when done with it."""
        token = f"probe-{self._ids.token()}"
        fence = f"fence-{self._ids.uuid()}"
        current = Round(asked, fence, self._clock, on_beat)
        inbox = self._subjects.roll_call(self._me, token)
        current.opened(await self._bus.subscribe(inbox, lambda message: self._heard(current, message)))
        for process, incarnation in [*asked.items(), (fence, fence)]:
            reply = self._subjects.roll(self._me, process, token)
            self._bus.publish(self._subjects.live(process, incarnation), b"", reply=reply)
        return current

    def _heard(self, current: Round, message: Message) -> None:
        with suppress(InvalidName):  # anybody may publish anything here; what is no reply is no answer
            current.heard(self._subjects.parse_roll(message.subject).responder, message)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _within(future: asyncio.Future[None], timeout: float) -> bool:
    done, _ = await asyncio.wait([future], timeout=timeout)
    return bool(done)
