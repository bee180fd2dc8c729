"""An agent: answers commands, bids, takes awards and keeps its word (sections 3 and 5 of the document)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.foreign import kept
from tests.foreign.membership import Member
from tests.foreign.speech import Envelope, new_id
from tests.foreign.wire import Message

Work = Callable[[Any, Callable[[Any], None]], Awaitable[Any] | AsyncIterator[Any]]
CONFIRM_AFTER = 0.02


class Trouble(Exception):
    """What a handler raises to answer with a fault of its own."""

    def __init__(self, code: str, message: str, error_class: str = "semantic") -> None:
        super().__init__(message)
        self.fault = {"code": code, "error_class": error_class, "message": message}


class Commission:
    """One award: whom to answer, and what came of it."""

    def __init__(self, envelope: Envelope, reply: str) -> None:
        self.envelope = envelope
        self.reply = reply
        self.outcome: tuple[str, Envelope, Envelope] | None = None
        self.task: asyncio.Task[None] | None = None


class ForeignAgent:
    """One instance with one command and one capability. What it refuses and ignores is for tests to say."""

    def __init__(self, member: Member, agent: str, capability: str, command: str, work: Work) -> None:
        self.member, self.agent, self.capability, self.command, self.work = member, agent, capability, command, work
        self.instance = member.process
        self.key = f"{agent}.{self.instance}"
        self.bid: dict[str, Any] = {"price": 0.0, "latency": 0.01, "success": 1.0, "capacity": 2}
        self.refuses = ""
        self.ignores = 0
        self.heard: list[Envelope] = []
        self._commissions: dict[str, Commission] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, **about: Any) -> None:
        """Listen, be listed, and tell a standing bid."""
        self.listen()
        can: dict[str, Any] = {
            "name": self.capability,
            "command": self.command,
            "effect": "pure",
            **about.pop("can", {}),
        }
        await self.member.list(self.agent, self.instance, capabilities=[can], **about)
        self.member.figures[self.key] = {"capacity": 2, "bids": {self.capability: self.bid}}
        self.member.beat()

    def listen(self) -> None:
        """On a new connection: again."""
        wire, ns = self.member.wire, self.member.ns
        wire.subscribe(f"{ns}.rpc.{self.member.process}.>", self._to_us)
        wire.subscribe(f"{ns}.cfp.{self.capability.replace('.', '_')}.*", self._to_everybody)

    # -- what comes

    def _to_us(self, message: Message) -> None:
        *_, agent, instance, sender = message.subject.split(".")
        if (agent, instance) == (self.agent, self.instance):
            self._take(message, sender)

    def _to_everybody(self, message: Message) -> None:
        self._take(message, message.subject.rpartition(".")[2])

    def _take(self, message: Message, sender: str) -> None:
        """Nothing is believed that the subject does not say, too; answers go where we say, not where we are told."""
        envelope = json.loads(message.data)
        prefix = f"{self.member.ns}.rep.{sender}."
        responder, _, token = message.reply.removeprefix(prefix).partition(".")
        honest = message.reply.startswith(prefix) and responder in ("_", self.member.process) and "." not in token
        if envelope["sender"]["process"] != sender or (message.reply and not honest):
            return
        self.heard.append(envelope)
        reply = f"{prefix}{self.member.process}.{token}" if message.reply else ""
        self._running[envelope["id"]] = asyncio.create_task(self._handle(envelope, reply))

    async def _handle(self, envelope: Envelope, reply: str) -> None:
        if "ref" in envelope:
            data = await kept.get_object(self.member.wire, f"{self.member.names}objects", envelope["ref"]["digest"])
            envelope = {**envelope, "payload": json.loads(data)}
        known: dict[str, Callable[[Envelope, str], Awaitable[None]]] = {
            "command": self._command, "probe": self._probe, "cancel": self._cancel,
            "call-for-proposal": self._call, "accept-proposal": self._accept,
        }  # fmt: skip
        name = "command" if envelope["kind"] == "command" else envelope["name"]
        if name in known:
            await known[name](envelope, reply)

    def _say(self, cause: Envelope, reply: str, kind: str, payload: Any, name: str = "", **more: Any) -> None:
        about: Envelope = {
            each: cause[each] for each in ("correlation", "tenant", "job", "epoch", "step") if each in cause
        }
        sender = {"agent": self.agent, "instance": self.instance, "process": self.member.process}
        answer: Envelope = {
            "v": 1, "id": new_id(), "kind": kind, "name": name or cause["name"], "sender": sender,
            "causation": cause["id"], "payload": payload, **about, **more,
        }  # fmt: skip
        if reply:
            self.member.wire.publish(reply, json.dumps(answer).encode())

    # -- commands

    async def _command(self, envelope: Envelope, reply: str) -> None:
        if envelope["name"] != self.command:
            fault = Trouble("unknown-command", f"only {self.command} is known here").fault
            return self._say(envelope, reply, "reply", None, fault={**fault, "detail": {"begun": False}})
        value, items, fault = await self._done(envelope, reply, envelope["payload"])
        return self._say(envelope, reply, "reply", value, seq=items, **fault)

    async def _done(self, envelope: Envelope, reply: str, given: Any) -> tuple[Any, int, Envelope]:
        """Its result, how many items went before it, and its fault."""
        items = 0
        try:
            work = self.work(given, lambda value: self._say(envelope, reply, "progress", value, self.command))
            if not isinstance(work, AsyncIterator):
                return await work, 0, {}
            async for item in work:
                self._say(envelope, reply, "item", item, self.command, seq=items)
                items += 1
        except Trouble as trouble:
            return None, items, {"fault": {**trouble.fault, "origin": self.key}}
        return None, items, {}

    async def _probe(self, envelope: Envelope, reply: str) -> None:
        about = {"process": self.member.process, "incarnation": self.member.incarnation, "state": "ready"}
        self._say(envelope, reply, "reply", {**about, "figures": self.member.figures[self.key]})

    async def _cancel(self, envelope: Envelope, reply: str) -> None:
        if envelope["kind"] == "act":
            return self._stop(envelope, reply)
        running = self._running.get(envelope["payload"]["id"])
        stopped = running is not None and running.cancel()
        return self._say(envelope, reply, "reply", stopped)

    # -- the contract net

    async def _call(self, envelope: Envelope, reply: str) -> None:
        call = envelope["payload"]
        answer: Envelope = {"conversation": call["conversation"]}
        if self.refuses:
            answer["refusals"] = [self._refusal()]
        else:
            who = {"agent": self.agent, "instance": self.instance, "process": self.member.process}
            offer = {"id": new_id(), **who, "version": "1.0.0", "bid": self.bid, "valid_for": 30.0}
            answer["proposals"] = [offer]
        self._say(envelope, reply, "act", answer, "propose")

    async def _accept(self, envelope: Envelope, reply: str) -> None:
        award = envelope["payload"]["award"]
        if self.ignores:
            self.ignores -= 1
            return
        known = self._commissions.get(award)
        if known is not None:
            known.reply = reply
            self._tell(known) if known.outcome else self._confirm(known)
        elif self.refuses:
            self._act(envelope, reply, "refuse", {"refusals": [self._refusal()]}, {})
        else:
            commission = self._commissions[award] = Commission(envelope, reply)
            commission.task = asyncio.create_task(self._fulfil(commission))
            await asyncio.sleep(CONFIRM_AFTER)
            if commission.outcome is None:
                self._confirm(commission)

    async def _fulfil(self, commission: Commission) -> None:
        envelope = commission.envelope
        value, items, fault = await self._done(envelope, commission.reply, envelope["payload"]["input"])
        name, content = ("failure", {}) if fault else ("inform-result", {"content": value})
        usage = {"usage": {"money": self.bid["price"], "exit_status": "success"}}
        commission.outcome = (name, content, {"seq": items, **usage, **fault})
        self._tell(commission)

    def _stop(self, envelope: Envelope, reply: str) -> None:
        commission = self._commissions.get(envelope["payload"]["award"])
        if commission is not None and commission.task is not None and commission.outcome is None:
            commission.task.cancel()
            commission.reply, commission.outcome = reply, ("inform-done", {}, {})
            self._tell(commission)

    def _confirm(self, commission: Commission) -> None:
        self._act(commission.envelope, commission.reply, "confirm", {"state": "running", "bid": self.bid}, {})

    def _tell(self, commission: Commission) -> None:
        assert commission.outcome is not None
        name, content, more = commission.outcome
        self._act(commission.envelope, commission.reply, name, {"bid": self.bid, **content}, more)

    def _act(self, cause: Envelope, reply: str, name: str, content: Envelope, more: Envelope) -> None:
        about = {"conversation": cause["payload"]["conversation"], "award": cause["payload"]["award"]}
        self._say(cause, reply, "act", {**about, **content}, name, **more)

    def _refusal(self) -> Envelope:
        why = {"reason": self.refuses, "message": "not today", "bid": {**self.bid, "capacity": 0}}
        return {"agent": self.agent, "instance": self.instance, **why}
