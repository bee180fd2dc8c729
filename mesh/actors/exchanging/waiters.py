"""Who waits for answers: any `Waiter`, a `Direct` one with one responder, and the `Ask`, which takes one reply.

The exchange hands them what comes for their token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mesh.actors.exchanging.inbound import Inbound
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import BadEnvelope, MeshError, TimedOut
from mesh.resilience.alarms import Alarms, alarms
from mesh.resilience.deadline import Deadline

Heard = Callable[[Envelope], None]


class Waiter(Protocol):
    """Whoever waits for answers: it is handed those of `responder` (`_`: of anyone), until it is forgotten.

    One with a `reply` is a `Direct`: its answers come on that very subject.
    """

    responder: str
    reply: str

    def heard(self, answer: Inbound) -> None:
        """An answer came; a large payload is still a reference."""

    def failed(self, error: MeshError) -> None:
        """There will be no answer: nobody listens, it cannot be read, or this process is leaving."""


class Direct(Waiter, Protocol):
    """A waiter with one responder, and so with one subject: it is handed envelopes as they are."""

    def answered(self, envelope: Envelope) -> None:
        """An answer came, from the responder; a large payload is still a reference."""


class Ask:
    """One question waiting for its one reply; items and progress on the way are handed to `on_part`."""

    __slots__ = ("alarm", "deadline", "future", "inactivity", "on_part", "reply", "responder", "token", "unsent")

    def __init__(
        self,
        here: Alarms,
        token: str,
        reply: str,
        deadline: Deadline,
        responder: str,
        on_part: Heard | None,
        inactivity: float | None,
    ) -> None:
        self.token = token
        self.unsent = False
        self.future: asyncio.Future[Envelope] = here.loop.create_future()
        self.reply = reply
        self.deadline = deadline
        self.responder = responder
        self.on_part = on_part
        self.inactivity = inactivity
        at = deadline.at if inactivity is None else deadline.narrow(inactivity).at
        self.alarm = here.at(at, self._expire)

    def heard(self, answer: Inbound) -> None:
        """As `answered`."""
        self.answered(answer.envelope)

    def answered(self, envelope: Envelope) -> None:
        """The reply ends it; anything before renews the inactivity timeout."""
        if self.future.done():
            return
        if envelope.kind == "reply" or envelope.kind not in ("item", "progress"):
            self.future.set_result(envelope)
            return
        if self.inactivity is not None:
            self.alarm.cancel()
            self.alarm = alarms().at(self.deadline.narrow(self.inactivity).at, self._expire)
        if self.on_part is not None:
            try:
                self.on_part(envelope)
            except BadEnvelope as error:
                self.failed(error)

    def failed(self, error: MeshError) -> None:
        """So does this."""
        if not self.future.done():
            self.future.set_exception(error)

    def _expire(self) -> None:
        silent = "" if self.inactivity is None else f", or no sign of life for {self.inactivity:g} s"
        self.failed(TimedOut(f"no answer in time from {self.responder}{silent}"))
