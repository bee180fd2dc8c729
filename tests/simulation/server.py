"""`SimulatedServer`: the server in memory behind a network, with the quirks that were measured on the real one.

What it keeps and routes is `mesh.transport.memory`'s; here stands when and whether what it did is heard of. Everything it does
runs in a place of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any

from mesh.protocols.errors import Conflict, MeshError, NoResponders
from mesh.protocols.ports import Ack, Clock, Ids, Message, Stored
from mesh.transport.headers import EXPECTED, MESSAGE_ID
from mesh.transport.matching import has_wildcard
from mesh.transport.memory.advisory import Occasion, advisory
from mesh.transport.memory.log import Log
from mesh.transport.memory.router import Router
from tests.simulation.network import Link, true_time
from tests.simulation.session import Session
from tests.simulation.storage import Quirks, SimulatedStorage

IN_FLIGHT = 10164
WRONG_LAST = 10071
EXPECTED_SUBJECT = f"{EXPECTED}-Subject"
"""The header that has another subject guarded, and that nobody here sends."""


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


def _nobody(outcome: Ack | MeshError) -> None:
    """The answer is never sent."""
