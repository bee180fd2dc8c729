"""Messages that go astray: dropped, late, doubled or held back, as often as a test asked.

It stands in the memory server's way of every message (`Faults.interceptor` there) and has no names of its own: a rule
says which messages by the agent, the command, the event or the act that they are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import msgspec

from mesh.actors.events.batch import OPENING, decode_batch
from mesh.protocols.envelope import Envelope, decode
from mesh.protocols.errors import BadEnvelope, MeshError
from mesh.protocols.ports import Message
from mesh.protocols.subjects import Subjects
from mesh.transport.matching import matches
from mesh.transport.memory.server import MemoryServer

Deliver = Callable[[], None]
Way = Literal["drop", "delay", "duplicate", "hold"]


@dataclass(frozen=True)
class Which:
    """Which messages: everything that is given must fit.

    `agent` is whom it is for, `name` or `name.instance`; the author, of events and answers. `command` is a command's name
    or a capability's. `event` is an event's type, `*` and `>` allowed. `act` is a performative of the contract net.
    Answers are meant only with `answer`, events only with `event`; unstored ones that leave together count as one message.
    """

    agent: str = ""
    command: str = ""
    event: str = ""
    act: str = ""
    answer: bool = False

    def __post_init__(self) -> None:
        if not (self.agent or self.command or self.event or self.act):
            raise ValueError("say which messages: agent=, command=, event= or act=")
        if self.event and (self.command or self.act or self.answer):
            raise ValueError("an event is neither a command nor an act nor an answer: give event= alone or with agent=")

    def fits(self, about: About) -> bool:
        """Whether a message is meant."""
        if self.event:
            return about.family == "evt" and matches(self.event, about.event) and self._of_agent(about)
        return (
            about.family == ("rep" if self.answer else "rpc")
            and self._of_agent(about)
            and self.command in ("", about.command, about.capability)
            and self.act in ("", about.act)
        )

    def _of_agent(self, about: About) -> bool:
        return self.agent in ("", about.agent, f"{about.agent}.{about.instance}")


class About(msgspec.Struct, frozen=True):
    """What a message is about. A call for proposals to everybody counts as `rpc` to no agent."""

    family: str
    agent: str = ""
    instance: str = ""
    command: str = ""
    capability: str = ""
    event: str = ""
    act: str = ""


class _Capability(msgspec.Struct):
    capability: str = ""


def about(message: Message) -> About | None:
    """What a message is about, or None if it is no command, act, event or answer."""
    root, _, rest = message.subject.partition(".")
    namespace, _, rest = rest.partition(".")
    family = rest.partition(".")[0]
    if root != "mesh" or family not in ("rpc", "rep", "cfp", "evt", "now"):
        return None
    try:
        return _read(Subjects(namespace), family, message.subject, _first(message.data))
    except MeshError:
        return None


def _first(data: bytes) -> Envelope:
    """Its envelope; of a batch of events the first: they are all of one type and one author."""
    if data[:1] != OPENING:
        return decode(data)
    found = decode_batch(data, lambda error: None)
    if not found:
        raise BadEnvelope("an empty batch")
    return found[0]


def _read(subjects: Subjects, family: str, subject: str, envelope: Envelope) -> About:
    sender, act, command = envelope.sender, "", ""
    if family in ("evt", "now"):
        event = subjects.parse_event(subject)
        return About("evt", event.agent, sender.instance, event=event.type)
    if envelope.kind == "act":
        act = envelope.name
    else:
        command = envelope.name
    if family == "rep":
        return About("rep", sender.agent, sender.instance, command=command, act=act)
    capability = _capability(envelope) if act else ""
    if family == "cfp":
        return About("rpc", capability=capability, act=act)
    rpc = subjects.parse_rpc(subject)
    return About("rpc", rpc.agent, rpc.instance, command=command, capability=capability, act=act)


def _capability(envelope: Envelope) -> str:
    try:
        return msgspec.json.decode(envelope.payload, type=_Capability).capability
    except msgspec.MsgspecError:
        return ""


@dataclass(eq=False)
class Rule:
    """What happens to the next `times` messages that fit."""

    way: Way
    which: tuple[Which, ...]
    times: float
    seconds: float = 0.0


class MessageFaults:
    """The rules of one server, in the order in which they were made; the first that fits is applied. `frozen` has those that
    hold everything of an agent, by its name."""

    def __init__(self) -> None:
        self.frozen: dict[str, Rule] = {}
        self._rules: list[Rule] = []
        self._held: dict[Rule, list[Deliver]] = {}

    @classmethod
    def of(cls, server: MemoryServer) -> MessageFaults:
        """The one of this server."""
        found = _OF.get(server)
        if found is None:
            found = _OF[server] = cls()
            server.faults.interceptor = found.intercept
        return found

    def add(self, rule: Rule) -> Rule:
        """From now on."""
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """No longer; what it held back is delivered, in its order. Again: nothing happens."""
        if rule in self._rules:
            self._rules.remove(rule)
        for deliver in self._held.pop(rule, ()):
            deliver()

    def clear(self) -> None:
        """No more rules. What is late already comes when it is due."""
        self.frozen.clear()
        for rule in tuple(self._rules):
            self.remove(rule)

    @property
    def due(self) -> int:
        """How many messages are still to meet a rule; frozen agents do not count."""
        return sum(int(rule.times) for rule in self._rules if rule.way != "hold")

    def intercept(self, message: Message, deliver: Deliver) -> bool:
        """Apply the first rule that fits; whether the message goes on by itself."""
        if not self._rules or (seen := about(message)) is None:
            return True
        rule = next((each for each in self._rules if any(which.fits(seen) for which in each.which)), None)
        if rule is None:
            return True
        rule.times -= 1
        if rule.times <= 0:
            self._rules.remove(rule)
        return self._apply(rule, deliver)

    def _apply(self, rule: Rule, deliver: Deliver) -> bool:
        loop = asyncio.get_running_loop()
        if rule.way == "hold":
            self._held.setdefault(rule, []).append(deliver)
        elif rule.way == "delay":
            loop.call_later(rule.seconds, deliver)
        elif rule.way == "duplicate":
            loop.call_soon(deliver)
        return rule.way == "duplicate"


_OF: WeakKeyDictionary[MemoryServer, MessageFaults] = WeakKeyDictionary()
