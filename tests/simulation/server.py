"""`SimulatedServer`: the server in memory behind a network, with the quirks that were measured on the real one.

What it keeps and routes is `mesh.transport.memory`'s; here stand how a client reaches it (`Session`), and when and whether
what it did is heard of. Everything it does runs in a place of its own.

    Quirks.replicas      1 or 3: how a retry after a lost ack is answered, and whether reads may lag behind
    Quirks.disk          seconds until an append is acknowledged; it counts before
    Quirks.lose_acks     how likely the answer to an append is never sent
    Quirks.land_late     how likely an append is stored only after its caller has given up
    Quirks.lag           seconds by which a read may lag behind (replicas 3)
    Quirks.forget_acks   seconds of consumers' acks that a kill takes back
    Quirks.advisories    whether disconnects are told
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Any

from mesh.protocols.errors import Conflict, MeshError, NoResponders, Unavailable
from mesh.protocols.ports import Ack, BucketSpec, Clock, Ids, KeyValue, Message, Stored
from mesh.transport.headers import EXPECTED, MESSAGE_ID
from mesh.transport.matching import has_wildcard, matches
from mesh.transport.memory.advisory import Occasion, advisory
from mesh.transport.memory.bucket import KeySpace
from mesh.transport.memory.log import Log
from mesh.transport.memory.router import Interest, Router
from mesh.transport.memory.storage import Storage
from tests.simulation.durable import ForgetfulDurable
from tests.simulation.network import Link, true_time

IN_FLIGHT = 10164
WRONG_LAST = 10071
EXPECTED_SUBJECT = f"{EXPECTED}-Subject"
"""The header that has another subject guarded, and that nobody here sends."""


@dataclass
class Quirks:
    """See the module."""

    replicas: int = 1
    disk: float = 0.0
    disk_spread: float = 0.0
    lose_acks: float = 0.0
    land_late: float = 0.0
    lag: float = 0.0
    forget_acks: float = 0.0
    expire_late: float = 0.25
    advisories: bool = True


class SimulatedStorage(Storage):
    """`Storage` whose consumers forget acks in a crash, and whose followers are sessions."""

    def __init__(self, clock: Clock, random: Random, quirks: Quirks) -> None:
        super().__init__(clock)
        self.random = random
        self.quirks = quirks
        self.followers: list[Follow] = []
        self.appended: list[Callable[[Stored], None]] = []
        """Told of every message that a stream stores, at that very moment."""

    def announce(self, stream: str) -> None:
        """As in memory; followers hear of it through their connections."""
        log = self._logs[stream]
        stored = log.get(log.last_sequence)
        if stored is not None:
            for tell in self.appended:
                tell(stored)
        for each in self.followers:
            if each.stream == stream:
                each.go_on()
        super().announce(stream)

    def durable(self, stream: str, name: str) -> ForgetfulDurable:
        """The durable consumer of that name, made if needed."""
        key = (stream, name)
        if key not in self._durables:
            self._durables[key] = ForgetfulDurable(self.log(stream), name)
        found = self._durables[key]
        assert isinstance(found, ForgetfulDurable)
        return found

    def space(self, spec: BucketSpec) -> KeySpace:
        """The bucket, made if needed."""
        if spec.name not in self._spaces:
            self._spaces[spec.name] = LateSpace(spec, self.random, self.quirks)
        return self._spaces[spec.name]

    def crash(self) -> None:
        """As in memory; the acks of the last moments are forgotten."""
        super().crash()
        self.followers.clear()
        for durable in self._durables.values():
            assert isinstance(durable, ForgetfulDurable)
            durable.forget_acks(self.random.random() * self.quirks.forget_acks)


class LateSpace(KeySpace):
    """Keys whose expiry comes a moment late, and which a follower may still show as they were."""

    def __init__(self, spec: BucketSpec, random: Random, quirks: Quirks) -> None:
        super().__init__(spec)
        self._draw = random.random
        self._quirks = quirks
        self._before: dict[str, tuple[float, KeyValue | None]] = {}

    def put(self, key: str, value: bytes, ttl: int | None, revision: int | None) -> int:
        """As in memory."""
        late = None if ttl is None else ttl + self._quirks.expire_late * (0.4 + 0.6 * self._draw())
        return super().put(key, value, late, revision)  # type: ignore[arg-type]

    def seen(self, key: str, since: float) -> KeyValue | None:
        """What a follower shows that has heard nothing since then."""
        when, before = self._before.get(key, (-1.0, None))
        return before if when > since else self.get(key)

    def _write(self, key: str, value: bytes | None) -> KeyValue:
        if self._quirks.lag:
            self._before[key] = (true_time(asyncio.get_running_loop()), self.get(key))
        return super()._write(key, value)


class SimulatedServer:
    """The server, or the cluster as its clients see it. `stop` and `start` are a `kill -9` and a supervisor."""

    def __init__(
        self, clock: Clock, ids: Ids, random: Random, quirks: Quirks, context: Context, *, account: str = "MESH"
    ) -> None:
        self.clock = clock
        self.ids = ids
        self.random = random
        self.quirks = quirks
        self.context = context
        self.account = account
        self.max_payload = 1024 * 1024
        self.router = Router(random)
        self.storage = SimulatedStorage(clock, random, quirks)
        self.sessions: dict[int, Session] = {}
        self.running = True
        self.server_id = self._new_id()
        self.on_change: Callable[[], None] = lambda: None
        self.passing: list[Callable[[Message], None]] = []
        """Told of every message that passes by here."""
        self.deaf: set[tuple[str, str]] = set()
        """Client and bucket: its watch on it hears of nothing."""
        self._clients = 0
        self._landing: dict[str, list[tuple[str, str]]] = {}
        """Appends on their way in (replicas 3), of each stream: subject and message id."""

    # -- its life

    def stop(self) -> None:
        """It dies: every connection with it, what was in memory, and the last acks. Again: nothing happens."""
        if not self.running:
            return
        self.running = False
        for session in list(self.sessions.values()):
            session.end("", told=False)
        self._landing.clear()
        self.context.run(self.storage.crash)

    def start(self) -> None:
        """It is there again, under a new id; clients come back by themselves. Again: nothing happens."""
        if not self.running:
            self.running = True
            self.server_id = self._new_id()
            self.context.run(self.storage.start)

    def leaderless(self, seconds: float) -> None:
        """The leader of everything is lost: for that long nobody answers for what is stored (replicas 3)."""
        self.storage.available = False
        asyncio.get_running_loop().call_later(seconds, self._elected, context=self.context)

    def _elected(self) -> None:
        self.storage.available = True

    def deafen(self, name: str, bucket: str, seconds: float) -> None:
        """Whoever feeds this client's watch on the bucket is lost, and it takes so long until another one does."""
        self.deaf.add((name, bucket))
        asyncio.get_running_loop().call_later(seconds, self.hear_again, name, bucket, context=self.context)

    def hear_again(self, name: str, bucket: str) -> None:
        """It is fed again. Again: nothing happens."""
        if (name, bucket) in self.deaf:
            self.deaf.discard((name, bucket))
            for session in self.sessions.values():
                if session.name == name:
                    session.hears_again(bucket)

    # -- connections

    def admit(self, name: str, down: Link) -> Session:
        """A client has connected."""
        self._clients += 1
        session = Session(self, self._clients, name, down)
        self.sessions[session.client] = session
        self.advise("CONNECT", session)
        return session

    def advise(self, occasion: Occasion, session: Session, reason: str = "") -> None:
        """Tell whoever listens who came or went."""
        if not self.quirks.advisories:
            return
        self.broadcast(
            advisory(
                occasion, account=self.account, server_id=session.server_id, client_id=session.client,
                name=session.name, now=self.clock.now(), started=session.started, reason=reason,
            )
        )  # fmt: skip

    def _new_id(self) -> str:
        return f"N{self.ids.token().upper()}"

    # -- messages

    def route(self, message: Message, origin: Session | None) -> None:
        """To everybody who wants it, and into the stream that captures it."""
        for tell in self.passing:
            tell(message)
        receivers = self.router.receivers(message.subject)
        for interest in receivers:
            interest.deliver(message)
        log = self.storage.capturing(message.subject)
        if log is not None:
            self._plain_store(log, message)
        elif message.reply and not receivers and origin is not None:
            origin.nobody(message.reply)

    def broadcast(self, message: Message) -> None:
        """To its subscribers only."""
        for interest in self.router.receivers(message.subject):
            interest.deliver(message)

    def _plain_store(self, log: Log, message: Message) -> None:
        """A publish into a stream: who asked is told on the reply subject."""
        import msgspec

        def told(outcome: Ack | MeshError) -> None:
            if not message.reply:
                return
            if isinstance(outcome, MeshError):
                code = outcome.detail.get("err_code", WRONG_LAST if isinstance(outcome, Conflict) else 0)
                body: dict[str, object] = {"error": {"code": 400, "err_code": code, "description": outcome.message}}
            else:
                body = {"stream": outcome.stream, "seq": outcome.sequence}
                if outcome.duplicate:
                    body["duplicate"] = True
            self.route(Message(message.reply, msgspec.json.encode(body)), None)

        self.store(log, message, told)

    # -- appends

    def append(self, message: Message, told: Callable[[Ack | MeshError], None]) -> None:
        """An append as a client asked for it; subscribers of its subject hear it, too."""
        log = self.storage.capturing(message.subject)
        if log is None:
            told(NoResponders(f"no stream captures {message.subject}, or JetStream is away"))
            return
        self.broadcast(message)
        self.store(log, message, told)

    def store(self, log: Log, message: Message, told: Callable[[Ack | MeshError], None]) -> None:
        """Store it as one server does, or three. `told` is called when, and if, the answer leaves."""
        quirks, draw = self.quirks, self.random.random
        answer = told if not quirks.lose_acks or draw() >= quirks.lose_acks else _nobody
        if quirks.land_late and draw() < quirks.land_late:
            self._later(1.0 + 3.0 * draw(), self._land, log, message, _nobody)
        elif quirks.replicas == 1:
            self._land(log, message, answer)
        else:
            self._propose(log, message, answer)

    def _propose(self, log: Log, message: Message, told: Callable[[Ack | MeshError], None]) -> None:
        """Three replicas: dedupe comes first, and what is not agreed upon yet is in flight."""
        headers = message.headers or {}
        message_id = headers.get(MESSAGE_ID, "")
        stored = log.stored_as(message_id)
        if stored:
            self._answer(told, Ack(log.spec.name, stored, duplicate=True))
            return
        if has_wildcard(headers.get(EXPECTED_SUBJECT, "")):
            self._unsound(log, message, told)
            return
        landing = self._landing.setdefault(log.spec.name, [])
        same = any(subject == message.subject or (message_id and each == message_id) for subject, each in landing)
        if same and (message_id or EXPECTED in headers):
            told(Conflict(f"{message.subject}: another append is in flight", detail={"err_code": IN_FLIGHT}))
            return
        entry = (message.subject, message_id)
        landing.append(entry)
        self._later(self._disk(), self._agreed, log, message, entry, told)

    def _unsound(self, log: Log, message: Message, told: Callable[[Ack | MeshError], None]) -> None:
        """A guard on a wildcard, as was measured: it is looked at when the append comes, and what is in flight is not seen."""
        headers = dict(message.headers or {})
        expected, subjects = int(headers.pop(EXPECTED)), headers.pop(EXPECTED_SUBJECT)
        newest = max((each.sequence for each in log.last_each(subjects)), default=0)
        if newest != expected:
            told(Conflict(f"{subjects} is at sequence {newest}, not {expected}", detail={"err_code": WRONG_LAST}))
            return
        entry = (message.subject, f"unsound {self.ids.token()}")
        self._landing.setdefault(log.spec.name, []).append(entry)
        guarded = Message(message.subject, message.data, message.reply, headers)
        self._later(self._disk(), self._agreed, log, guarded, entry, told)

    def _agreed(
        self, log: Log, message: Message, entry: tuple[str, str], told: Callable[[Ack | MeshError], None]
    ) -> None:
        landing = self._landing.get(log.spec.name, [])
        if entry not in landing:
            return  # lost with the leader
        landing.remove(entry)
        try:
            told(self.storage.append(log, message))
        except MeshError as error:
            told(error)

    def _land(self, log: Log, message: Message, told: Callable[[Ack | MeshError], None]) -> None:
        """One server: it counts at once, and is acknowledged once the disk has it."""
        if not self.running:
            return
        try:
            ack = self.storage.append(log, message)
        except MeshError as error:
            self._answer(told, error)
        else:
            self._answer(told, ack)

    def _answer(self, told: Callable[[Ack | MeshError], None], outcome: Ack | MeshError) -> None:
        seconds = self._disk()
        if seconds:
            self._later(seconds, told, outcome)
        else:
            told(outcome)

    def _disk(self) -> float:
        return self.quirks.disk + (self.quirks.disk_spread * self.random.random() if self.quirks.disk_spread else 0.0)

    def _later(self, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
        """Unless the server dies before."""
        life = self.server_id

        def due() -> None:
            if self.running and self.server_id == life:
                work(*arguments)

        asyncio.get_running_loop().call_later(seconds, due, context=self.context)

    # -- reads

    def seen_until(self) -> float:
        """Up to which moment a read sees everything: now, unless a follower answers that lags behind."""
        now = true_time(asyncio.get_running_loop())
        if self.quirks.replicas == 1 or not self.quirks.lag:
            return now
        draw = self.random.random()
        return now if draw < 0.6 else now - self.quirks.lag * draw * draw

    def fresh(self, found: list[Stored]) -> list[Stored]:
        """Those of them that such a read sees."""
        if self.quirks.replicas == 1 or not self.quirks.lag:
            return found
        until = self.clock.now() - (true_time(asyncio.get_running_loop()) - self.seen_until())
        return [each for each in found if each.time <= until]


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


def _nobody(outcome: Ack | MeshError) -> None:
    """The answer is never sent."""
