"""What an ask's protection takes of its processor time: asks as they are made, with it and without, and nothing leaves.

Both are the code that users run, from `Asking.ask` to the typed result. Only the exchange is another: it has the reply already.
Without protection, breaker, retry budget and the deadline's alarm are stand-ins that do nothing.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from mesh.actors.asking.asking import Asking
from mesh.actors.asking.question import Wish
from mesh.actors.declaring.contract import encode_payload
from mesh.actors.exchanging.waiters import Ask
from mesh.actors.peer import Peer
from mesh.protocols.envelope import Envelope
from mesh.resilience.alarms import alarms
from mesh.resilience.deadline import Deadline
from tests.benchmarks.series import Sample

BORROWED = ("bus", "clock", "directory", "ids", "payloads", "policy", "quality", "subjects", "telemetry", "tongue")
"""What an ask needs of its process besides."""


class Nothing:
    """Stands for a breaker, a budget, an alarm and those that hand them out: whatever is asked of it, it does not do."""

    def of(self, *_: Any, **__: Any) -> Nothing:
        """A breaker or a budget."""
        return self

    def at(self, *_: Any) -> Nothing:
        """An alarm."""
        return self

    def admit(self, *_: Any) -> None:
        """Every call is let through."""

    def record(self, *_: Any) -> None:
        """How it went is forgotten."""

    def called(self) -> None:
        """It is not counted."""

    def cancel(self) -> None:
        """It never rang."""


class Answered:
    """An exchange whose every question has its reply at once."""

    def __init__(self, reply: Envelope, alarm: Any) -> None:
        self._reply = reply
        self._alarms = alarm

    def open(self, subject: str, envelope: Envelope, deadline: Deadline, responder: str, *heard: Any) -> Ask:
        """As the real one, but that nothing is sent."""
        ask = Ask(self._alarms, "token", subject, deadline, responder, *heard)
        ask.future.set_result(self._reply)
        return ask

    def close(self, ask: Ask) -> None:
        """As the real one."""
        ask.alarm.cancel()


def asking(peer: Peer, *, guarded: bool) -> Asking:
    """The asking side of a process, with its protection or without."""
    here, nothing = alarms(), Nothing()
    reply = peer.root.compose(peer.ids, "reply", "echo", encode_payload("x"), version=peer.tongue.version)
    waiting = here if guarded else SimpleNamespace(loop=here.loop, at=nothing.at)
    borrowed = {name: getattr(peer, name) for name in BORROWED}
    exchange, breakers = Answered(reply, waiting), peer.breakers if guarded else nothing
    made = Asking(cast(Peer, SimpleNamespace(**borrowed, exchange=exchange, breakers=breakers)), peer.routing)
    if not guarded:
        made.budgets = cast(Any, nothing)
    return made


async def guards(peer: Peer, target: str, times: int) -> Sample:
    """Processor seconds of one ask's protection: so many asks each, by turns, a hundred at a time."""
    spent = {True: 0.0, False: 0.0}
    sides = {guarded: asking(peer, guarded=guarded) for guarded in (True, False)}
    wish = Wish(target, {"text": "x"}, peer.root, returns=str)
    for _ in range(times // 100):
        for guarded, side in sides.items():
            started = time.thread_time()
            for _ in range(100):
                await side.ask(wish)
            spent[guarded] += time.thread_time() - started
        await asyncio.sleep(0)
    return Sample((spent[True] - spent[False]) / times)
