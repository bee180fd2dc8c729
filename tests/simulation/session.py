"""`Session`: one client's connection as the simulated server has it, and what may be said on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.protocols.errors import MeshError, NoResponders, Unavailable
from mesh.protocols.ports import BucketSpec, KeyValue, Message, Stored
from mesh.transport.matching import matches
from mesh.transport.memory.log import Log
from mesh.transport.memory.router import Interest
from tests.simulation.network import Link

if TYPE_CHECKING:
    from tests.simulation.server import SimulatedServer


class Session:
    """One connection as the server has it. What it is asked comes from the link up, what it says goes down."""

    def __init__(self, server: SimulatedServer, client: int, name: str, down: Link) -> None:
        self.server = server
        self.client = client
        self.server_id = server.server_id
        self.name = name
        self.down = down
        self.started = server.clock.now()
        self.open = True
        self._interests: dict[int, Interest] = {}
        self._undo: dict[int, Callable[[], None]] = {}
        self._watches: dict[int, str] = {}

    def hear(self, verb: str, *arguments: Any) -> None:
        """A frame from the client."""
        if self.open:
            getattr(self, f"on_{verb}")(*arguments)

    def say(self, *frame: Any) -> None:
        """A frame to the client."""
        if self.open:
            self.down.send(*frame)

    def end(self, reason: str, *, told: bool = True) -> None:
        """The connection is over, as the server sees it. Again: nothing happens."""
        if not self.open:
            return
        self.open = False
        self.server.sessions.pop(self.client, None)
        self.server.router.remove_owner(self.client)
        undo, self._undo = self._undo, {}
        for each in undo.values():
            each()
        self.down.cut(most=0 if not told else self.server.random.randrange(self.down.flying + 1))
        if told:
            self.server.advise("DISCONNECT", self, reason or "Client Closed")

    # -- what a client says

    def on_pub(self, message: Message) -> None:
        """PUB."""
        self.server.route(message, self)

    def on_sub(self, number: int, subject: str, queue: str) -> None:
        """SUB."""
        interest = Interest(self.client, subject, queue, lambda message: self.say("msg", number, message))
        self._interests[number] = interest
        self.server.router.add(interest)

    def on_unsub(self, number: int) -> None:
        """UNSUB."""
        interest = self._interests.pop(number, None)
        if interest is not None:
            self.server.router.remove(interest)

    def on_eof(self) -> None:
        """The client's end was closed."""
        self.end("Client Closed")

    def on_ping(self, number: int) -> None:
        """PING, and everything before it has been dealt with."""
        self.say("answer", number, None)

    def on_ask(self, number: int, work: Callable[[SimulatedServer], Any]) -> None:
        """A question to JetStream."""
        try:
            if not self.server.storage.available:
                raise NoResponders("JetStream is away")
            answer = work(self.server)
        except (MeshError, KeyError) as error:
            self.say("answer", number, error)
        else:
            self.say("answer", number, answer)

    def on_append(self, number: int, message: Message) -> None:
        """A message for a stream, with the wish for an answer."""
        self.server.append(message, lambda outcome: self.say("answer", number, outcome))

    def on_pull(self, number: int, stream: str, durable: str, expires: float) -> None:
        """The next message of a consumer, within so many seconds."""
        if not self.server.storage.available:
            self.say("pulled", number, None)
            return
        try:
            held = self.server.storage.durable(stream, durable)
        except Unavailable:
            self.say("pulled", number, None)
            return
        place = held.wait()
        timer = asyncio.get_running_loop().call_later(expires, place.cancel, context=self.server.context)

        def leave() -> None:
            timer.cancel()
            if not place.done():
                held.leave(place)

        def given(place: asyncio.Future[tuple[Stored, int]]) -> None:
            timer.cancel()
            self._undo.pop(number, None)
            if place.cancelled():
                self.say("pulled", number, None)
            elif self.open:
                self.say("pulled", number, place.result())

        self._undo[number] = leave
        place.add_done_callback(given, context=self.server.context)

    def on_leave(self, number: int) -> None:
        """Whatever was asked under this number is wanted no more."""
        undo = self._undo.pop(number, None)
        self._watches.pop(number, None)
        if undo is not None:
            undo()

    def hears_again(self, bucket: str) -> None:
        """Watches on this bucket heard of nothing for a while, and are to be taken up anew."""
        for number, watched in self._watches.items():
            if watched == bucket:
                self.say("pushed", number, None)

    def on_watch(self, number: int, spec: BucketSpec, pattern: str) -> None:
        """Every key that matches, then every change."""
        if not self.server.storage.available:
            self.say("answer", number, NoResponders("JetStream is away"))
            return
        space = self.server.storage.space(spec)
        live = [entry for entry in space.live() if matches(pattern, entry.key)]
        self.say("answer", number, (space.generation, live))

        def changed(entry: KeyValue) -> None:
            if matches(pattern, entry.key) and (self.name, spec.name) not in self.server.deaf:
                self.say("pushed", number, entry)

        space.watchers.append(changed)
        self._watches[number] = spec.name
        self._undo[number] = lambda: space.watchers.remove(changed)

    def on_follow(self, number: int, stream: str, subject: str, after: int | None, since: float | None) -> None:
        """Every message of a stream from there on."""
        storage = self.server.storage
        try:
            if not storage.available:
                raise NoResponders("JetStream is away")
            log = storage.log(stream)
        except MeshError as error:
            self.say("answer", number, error)
            return
        cursor = log.first_since(since) if since is not None else log.last_sequence if after is None else after
        follow = Follow(self, number, stream, log, subject, cursor)
        self.say("answer", number, None)
        storage.followers.append(follow)
        self._undo[number] = lambda: storage.followers.remove(follow) if follow in storage.followers else None
        follow.go_on()

    def nobody(self, reply: str) -> None:
        """503, to whoever of this client listens there."""
        answer = Message(reply, b"", "", {"Status": "503"})
        for interest in self.server.router.receivers(reply):
            if interest.owner == self.client:
                interest.deliver(answer)


class Follow:
    """A push consumer: what is above its cursor goes down at once, in order."""

    def __init__(self, session: Session, number: int, stream: str, log: Log, subject: str, cursor: int) -> None:
        self._session = session
        self._number = number
        self.stream = stream
        self._log = log
        self._subject = subject
        self._cursor = cursor

    def go_on(self) -> None:
        """Send what is new."""
        for stored in list(self._log.read(self._subject, self._cursor)):
            self._cursor = stored.sequence
            self._session.say("pushed", self._number, stored)
