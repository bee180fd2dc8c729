"""A process whose agents can be made ill, kept waiting and killed: what it hosts, `Terms` say; how its target fares, its mood.

    target    does one thing, and is well, `fails`, `hangs`, `slow`, or says `overloaded`, as the file `mood-<process>` says
    link      passes a request on along a list of agents; the last one fares as its mood says
    listener  hears events, live ones and durable ones; a fatal event kills it
    caller    many callers of one target, for as long as a test wants; it knows what came of each call
    inn       takes in guests: places in the mesh that come and go

Every handler writes a line when it begins and one when it ends, however it ends: `Books` reads them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from mesh import Agent, Context, Mesh, command, on_event
from mesh.actors.events import reactions
from mesh.clock import SystemClock
from mesh.protocols.errors import Overloaded, Transient
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry
from mesh.testing.virtual_time import until
from tests.chaos.books import Books, Line
from tests.chaos.callers import Caller
from tests.chaos.guests import Inn
from tests.faults.expectations import joined

Mood = Literal["well", "fails", "hangs", "slow", "overloaded"]
Role = Literal["target", "link", "listener", "caller", "inn"]
A_WHILE = 0.02
"""Seconds that a slow target takes."""
GRACE = 10.0
FATAL = "fatal"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to be. `redeliver`: seconds until an event that nobody settled comes again; `tenant`: on whose
    account it calls; `link` agents are called after their process."""

    url: str
    process: str
    folder: str
    roles: tuple[Role, ...] = ("target",)
    capacity: int = 64
    mailbox: int = 256
    redeliver: float = 1.0
    tenant: str = "default"
    log_level: str = "WARNING"


class Station:
    """The agents of one process, and what they share."""

    def __init__(self, terms: Terms, mesh: Mesh) -> None:
        self._terms = terms
        self._mesh = mesh
        self._books = Books(Path(terms.folder), terms.process)
        self._mood = Path(terms.folder) / f"mood-{terms.process}"

    @asynccontextmanager
    async def busy(self, ctx: Context, what: str) -> AsyncIterator[None]:
        """Write down the beginning and the end."""
        line = Line("+", what, ctx.message.sender.process, ctx.message.attempt, ctx.message.id)
        self._books.write(line)
        try:
            yield
        finally:
            self._books.write(line._replace(sign="-"))

    async def fare(self) -> str:
        """Do the work, as well as one can in this mood."""
        mood = self._mood.read_text() if self._mood.exists() else "well"
        if mood == "fails":
            raise Transient("what it depends on is down")
        if mood == "overloaded":
            raise Overloaded("too much to do", retry_after=0.05)
        if mood == "hangs":
            await asyncio.Event().wait()
        elif mood == "slow":
            await asyncio.sleep(A_WHILE)
        return self._terms.process

    def agents(self) -> list[Any]:
        makers = {
            "target": self.target,
            "link": self.link,
            "listener": self.listener,
            "caller": self.caller,
            "inn": self.inn,
        }
        return [makers[role]() for role in self._terms.roles]

    def target(self) -> type[Agent]:
        station, terms = self, self._terms

        class Target(Agent):
            name = "target"
            capacity = terms.capacity
            mailbox = terms.mailbox

            @command(capability="target.do", effect="pure", timeout=30)
            async def do(self, ctx: Context) -> str:
                async with station.busy(ctx, "do"):
                    return await station.fare()

            @command(effect="pure")
            async def echo(self, text: str) -> str:
                return text

            @command(capability="target.die", effect="idempotent", timeout=30)
            async def die(self, ctx: Context) -> None:
                async with station.busy(ctx, "die"):
                    os.kill(os.getpid(), signal.SIGKILL)

            @command
            async def block(self, name: str) -> None:
                """The loop stands still until a test lets go."""
                (Path(terms.folder) / name).touch()
                while not (Path(terms.folder) / f"let-{name}").exists():
                    time.sleep(0.01)  # noqa: ASYNC251 - that is the fault

        return Target

    def link(self) -> type[Agent]:
        station, terms = self, self._terms

        class Link(Agent):
            name = terms.process
            capacity = terms.capacity
            mailbox = terms.mailbox

            @command(effect="pure", timeout=600)
            async def pass_on(self, ctx: Context, to: list[str]) -> str:
                async with station.busy(ctx, "pass_on"):
                    if not to:
                        return await station.fare()
                    return await ctx.ask(to[0], {"to": to[1:]}, command="pass_on", returns=str)

            @command(effect="pure")
            async def echo(self, text: str) -> str:
                return text

        return Link

    def listener(self) -> type[Agent]:
        station, terms, mesh = self, self._terms, self._mesh

        class Listener(Agent):
            name = "listener"
            capacity = terms.capacity
            mailbox = terms.mailbox

            @on_event("said.live")
            async def live(self, ctx: Context, word: str) -> None:
                station.heard(ctx, f"live-{word[:20]}")

            @on_event("said.kept", durable=True, timeout=0.5)
            async def kept(self, ctx: Context, word: str) -> None:
                station.heard(ctx, f"kept-{word[:20]}")
                if word == FATAL:
                    os.kill(os.getpid(), signal.SIGKILL)

            @command(effect="pure", timeout=60)
            async def knows(self, agent: str, processes: list[str]) -> bool:
                """True, as soon as this process believes exactly these to host the agent."""
                there = lambda: sorted(each.process for each in mesh.directory.instances(agent))  # noqa: E731
                await until(lambda: there() == processes, timeout=60)
                return True

        return Listener

    def caller(self) -> Any:
        return partial(Caller, self._mesh)

    def inn(self) -> Any:
        return partial(Inn, self._terms.url, self._terms.process)

    def heard(self, ctx: Context, what: str) -> None:
        self._books.write(Line("+", what, ctx.message.sender.process, ctx.message.attempt, ctx.message.id))


async def live(terms: Terms) -> None:
    """Host what is asked for, say so by a file, and stay until SIGTERM; then drain."""
    reactions.COMES_AGAIN_AFTER = terms.redeliver
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    telemetry = Telemetry(SystemClock().now, JsonLines())
    async with joined(terms.url, terms.process, telemetry=telemetry, tenant=terms.tenant) as mesh:
        for each in Station(terms, mesh).agents():
            await mesh.host(each)
        (Path(terms.folder) / f"{terms.process}.ready").write_text(str(os.getpid()))
        await stop.wait()
        await mesh.drain(GRACE)


def forked(terms: Terms, log: Path, source: Path | None) -> None:
    """Be that process, as a child of a fork server; its stderr goes to a file."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=terms.log_level, format="%(levelname)s %(name)s %(message)s", force=True)
    asyncio.run(live(terms))
