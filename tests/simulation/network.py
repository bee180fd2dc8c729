"""The network between the places and the server: one pair of links for each connection, as unkind as TCP may be.

Within a connection nothing is lost, doubled or reordered as long as it holds: TCP sees to that. Between connections every
order is possible, for each message takes its own time. What a network can do to a connection is to hold it up (a
partition, in one direction or both: what was sent comes when it is over, if anybody still waits), to be slow, and to end
it, with notice or without: then the messages on their way are lost from some place on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import SimulatedLoop
from tests.simulation.place import HERE, Place
from tests.simulation.step import Step

if TYPE_CHECKING:
    from tests.simulation.server import SimulatedServer
    from tests.simulation.session import Session

Receive = Callable[..., None]

NOWHERE = Place("nowhere")
"""Where somebody is who connects in a loop of asyncio's."""


@dataclass
class Weather:
    """How the network is. Seconds; `spread` is how much longer than `delay` a message may take, `spike` how likely one in
    flight takes `spike_seconds`."""

    delay: float = 0.0005
    spread: float = 0.001
    spike: float = 0.0
    spike_seconds: float = 0.0

    def draw(self, random: Random) -> float:
        """How long a message takes."""
        draw = random.random
        seconds = self.delay + self.spread * draw()
        if self.spike and draw() < self.spike:
            seconds += self.spike_seconds * draw()
        return seconds


class Link:
    """One direction of one connection. `context` is the place where it ends."""

    __slots__ = (
        "_arrival",
        "_flying",
        "_held",
        "_last",
        "_loop",
        "_random",
        "blocked",
        "context",
        "open",
        "receive",
        "slow",
        "weather",
    )

    def __init__(self, random: Random, weather: Weather, context: Context, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._random = random
        self.weather = weather
        self.context = context
        self.receive = receive
        self.open = True
        self.blocked = False
        self.slow = 0.0
        self._last = 0.0
        self._flying: deque[tuple[Any, ...]] = deque()
        self._held: deque[tuple[Any, ...]] = deque()
        self._arrival = Step(self._arrive, (), context, context.get(HERE, NOWHERE))

    def send(self, *frame: Any) -> None:
        """It will arrive, in its order, unless the link is cut before."""
        if not self.open:
            return
        if self.blocked:
            self._held.append(frame)
            return
        self._flying.append(frame)
        loop = self._loop
        now = true_time(loop)
        when = now + self.weather.draw(self._random) + self.slow
        if when < self._last:
            when = self._last
        self._last = when
        if isinstance(loop, SimulatedLoop):
            loop.at(when, self._arrival)
        else:
            loop.call_later(when - now, self._arrive, context=self.context)

    def block(self) -> None:
        """Nothing gets through; what is on its way is held up, too. Again: nothing happens."""
        if not self.blocked:
            self.blocked = True
            self._held, self._flying = self._flying, deque()

    def unblock(self) -> None:
        """What was held up arrives. Again: nothing happens."""
        if self.blocked:
            self.blocked = False
            held, self._held = self._held, deque()
            for frame in held:
                self.send(*frame)

    def cut(self, *, most: int = 0) -> None:
        """The connection is over; of what is on its way, at most the first `most` messages still arrive. Again: nothing."""
        if not self.open:
            return
        self.open = False
        self._held.clear()
        self.lose_some(most)

    def lose_some(self, most: int) -> None:
        """Of what is on its way only the first `most` messages arrive; what is sent from now on comes after them."""
        while len(self._flying) > most:
            self._flying.pop()
        while len(self._held) > most:
            self._held.pop()

    @property
    def flying(self) -> int:
        """How many messages are on their way."""
        return len(self._flying)

    def _arrive(self) -> None:
        if self._flying:
            self.receive(*self._flying.popleft())


def true_time(loop: asyncio.AbstractEventLoop) -> float:
    """The time that all places share, whatever their own clocks say."""
    return loop.now if isinstance(loop, SimulatedLoop) else loop.time()


PING_CLIENT = (10.0, 15.0)
"""Seconds after which a client gives up a connection that has gone silent."""
PING_SERVER = (20.0, 30.0)


class Wire:
    """One connection: two links, the client's end and the server's. Either end may know earlier than the other."""

    def __init__(self, name: str, up: Link, down: Link, session: Session, lost: Callable[[], None]) -> None:
        self.name = name
        self.up = up
        self.down = down
        self.session = session
        self._lost = lost
        self.client_open = True

    def lose(self) -> None:
        """The client's end notices that the connection is over. Again: nothing happens."""
        if self.client_open:
            self.client_open = False
            self.down.cut()
            self._lost()


class Network:
    """All connections to one server. A client is known by its name; a name that is partitioned cannot connect, either."""

    def __init__(self, random: Random, server: SimulatedServer, weather: Weather) -> None:
        self.random = random
        self.server = server
        self.weather = weather
        self.wires: list[Wire] = []
        self.on_word: Callable[[str, str], None] = lambda name, verb: None
        """Told of every question that a client sends to the server's store, at that very moment."""
        self._up: set[str] = set()
        self._down: set[str] = set()
        self._slow: dict[str, float] = {}

    def delay(self) -> float:
        """How long one way takes now."""
        return self.weather.draw(self.random)

    # -- for clients

    def open(self, name: str, context: Context, receive: Receive, lost: Callable[[], None]) -> Wire | None:
        """A connection, or None: nobody answers."""
        if not self.server.running or name in self._up or name in self._down:
            return None
        down = Link(self.random, self.weather, context, receive)
        session = self.server.context.run(self.server.admit, name, down)
        up = Link(self.random, self.weather, self.server.context, session.hear)
        up.slow = down.slow = self._slow.get(name, 0.0)
        wire = Wire(name, up, down, session, lost)
        self.wires = [each for each in self.wires if each.client_open or each.session.open]
        self.wires.append(wire)
        return wire

    def leave(self, wire: Wire, *, politely: bool) -> None:
        """The client's end is closed: by itself, with all it has said, or because its process died, with a part of it."""
        if not wire.client_open:
            return
        wire.client_open = False
        wire.down.cut()
        if not politely:
            wire.up.lose_some(self.random.randrange(wire.up.flying + 1))
        wire.up.send("eof")

    # -- trouble

    def cut(self, name: str) -> None:
        """The connections of that name are reset; both ends notice, each after its own time."""
        for wire in self._of(name):
            wire.up.cut(most=self.random.randrange(wire.up.flying + 1))
            self._after(self.delay(), wire.session.end, "Read Error", context=self.server.context)
            self._after(self.delay(), wire.lose, context=wire.down.context)

    def stop_server(self) -> None:
        """kill -9: the clients hear of it by the resets."""
        self.server.stop()
        for wire in self.wires:
            wire.up.cut()
            self._after(self.delay(), wire.lose, context=wire.down.context)

    def partition(self, name: str, *, up: bool = True, down: bool = True) -> None:
        """Nothing gets through, to the server, from it, or both; nobody is told. Who pings notices by and by."""
        if up:
            self._up.add(name)
        if down:
            self._down.add(name)
        for wire in self._of(name):
            if up:
                wire.up.block()
            if down:
                wire.down.block()
            self._after(self.random.uniform(*PING_CLIENT), self._silent, wire, wire.lose, context=wire.down.context)
            over = self._over(wire)
            self._after(self.random.uniform(*PING_SERVER), self._silent, wire, over, context=self.server.context)

    def heal(self, name: str) -> None:
        """It gets through again: what was held up, and the news of connections that were given up meanwhile."""
        self._up.discard(name)
        self._down.discard(name)
        for wire in self._of(name):
            wire.up.unblock()
            wire.down.unblock()
            if not wire.client_open:
                self._after(self.delay(), self._over(wire), context=self.server.context)
            elif not wire.session.open:
                self._after(self.delay(), wire.lose, context=wire.down.context)

    def slow(self, name: str, seconds: float) -> None:
        """Every message of that client takes so much longer, each way; 0: no longer."""
        self._slow[name] = seconds
        for wire in self._of(name):
            wire.up.slow = wire.down.slow = seconds

    @property
    def partitioned(self) -> set[str]:
        """Who is cut off now, in either direction."""
        return self._up | self._down

    def _silent(self, wire: Wire, give_up: Callable[[], None]) -> None:
        if wire.up.blocked or wire.down.blocked:
            give_up()

    @staticmethod
    def _over(wire: Wire) -> Callable[[], None]:
        return lambda: wire.session.end("Stale Connection")

    def _of(self, name: str) -> list[Wire]:
        return [wire for wire in self.wires if wire.name == name and (wire.client_open or wire.session.open)]

    def _after(self, seconds: float, work: Callable[..., None], *arguments: Any, context: Context) -> None:
        asyncio.get_running_loop().call_later(seconds, work, *arguments, context=context)
