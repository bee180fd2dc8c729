"""A process of a mesh, to be killed, frozen and lied to: `python -m tests.faults.member '<Terms as JSON>'`.

It says that it is ready by a file, does work that waits for a file, and writes what it did into one: effects that outlive
it, as in the world outside. SIGUSR1 makes its wall clock jump by `jump` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mesh import Agent, Context, Job, Mesh, command, on_event, workflow
from mesh.clock import SystemClock, SystemIds
from mesh.jobs.authoring.workflow import Workflow
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry
from mesh.testing.virtual_time import until
from tests.faults.expectations import reached


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to be. `agents` are of `worker` and `foreman`; `shift` and `jump` are seconds of its wall clock."""

    url: str
    process: str
    folder: str
    namespace: str = "default"
    agents: tuple[str, ...] = ("worker",)
    workflow: bool = False
    effect: Effect = "costly"
    capacity: int | None = None
    mailbox: int = 256
    instance: str | None = None
    shift: float = 0.0
    jump: float = 0.0


class ShiftedClock(SystemClock):
    """A wall clock that is wrong. The monotonic one cannot be."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def now(self) -> float:
        return super().now() + self.shift


def worker(terms: Terms) -> type[Agent]:
    """An agent that holds what it is given until it is told to let go."""

    class Worker(Agent):
        name = "worker"
        mailbox = terms.mailbox

        @command(capability="work.echo", effect="pure")
        async def echo(self, ctx: Context, text: str) -> tuple[str, str]:
            return ctx.process, text

        @command(capability="work.hold", effect=terms.effect, timeout=50)
        async def hold(self, name: str) -> str:
            return await held(terms, name)

        @command(timeout=50)
        async def count(self, to: int, name: str = "") -> AsyncIterator[int]:
            for number in range(to):
                yield number
            if name:
                await held(terms, name)

        @on_event("shop.opened")
        async def opened(self, event: str) -> None:
            mark(terms, f"heard-{event}")

        @on_event("shop.closed", durable=True)
        async def closed(self, event: str) -> None:
            mark(terms, f"kept-{event}")

    return Worker


class Foreman(Agent):
    """Does nothing itself."""

    name = "foreman"
    capacity = 8

    @command(capability="foreman.subcontract", timeout=50)
    async def subcontract(self, ctx: Context, name: str) -> str:
        return str(await ctx.call("work.hold", name, returns=str))

    @command(capability="foreman.ask", timeout=50)
    async def ask(self, ctx: Context, name: str) -> str:
        return await ctx.ask("worker", name, command="hold", returns=str)

    @command
    async def announce(self, ctx: Context, text: str) -> None:
        await ctx.emit("shop.opened", text)

    @command(timeout=50)
    async def direct(self, ctx: Context, worker: str, text: str) -> list[str]:
        """Ask one worker in every way there is; tell who answered."""
        asked = await ctx.ask(f"worker.{worker}", text, command="echo", returns=tuple[str, str])
        items = [each async for each in ctx.stream(f"worker.{worker}", {"to": 3}, command="count", returns=int)]
        labels = Constraints(labels={"at": worker})
        modes: tuple[Mode, ...] = ("standing", "directed", "broadcast")
        called = [await ctx.call("work.echo", text, mode=mode, constraints=labels) for mode in modes]
        assert items == [0, 1, 2]
        return [asked[0], *(each[0] for each in called)]


def flow(terms: Terms) -> Workflow[Any]:
    """A job that does one step here, and has the others done."""

    @workflow("walk")
    async def walk(job: Job, names: list[str]) -> list[str]:
        here = await job.step("here", partial(mark, terms), "step")
        return [here, *[await job.call("work.hold", name, key=name) for name in names]]

    return walk


def main(terms: Terms) -> None:
    """Be that process, until it is killed."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(live(terms))


async def live(terms: Terms) -> None:
    """Host everything, say so, and stay until the end."""
    clock = ShiftedClock(terms.shift)
    ids = SystemIds(clock)
    jump = lambda: setattr(clock, "shift", clock.shift + terms.jump)  # noqa: E731
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, jump)
    telemetry = Telemetry(clock.now, JsonLines())
    async with (
        await reached(terms.url, name=terms.process, clock=clock, ids=ids) as connection,
        Mesh.over(
            connection, process=terms.process, namespace=terms.namespace, clock=clock, ids=ids, telemetry=telemetry
        ) as mesh,
    ):
        for each in terms.agents:
            agent = Foreman if each == "foreman" else worker(terms)
            await mesh.host(agent, capacity=terms.capacity, instance=terms.instance, labels={"at": terms.process})
        if terms.workflow:
            await mesh.host_workflow(flow(terms))
        (Path(terms.folder) / f"{terms.process}.ready").write_text(str(os.getpid()))
        await asyncio.Event().wait()


async def held(terms: Terms, name: str) -> str:
    """Begin, wait to be let go, and end; says who did it."""
    mark(terms, f"begun-{name}")
    await until((Path(terms.folder) / f"let-{name}").exists, timeout=60)
    mark(terms, f"done-{name}")
    return terms.process


def mark(terms: Terms, what: str) -> str:
    """One line in the file of all effects: one write, so that those of several processes never mix."""
    with (Path(terms.folder) / "effects").open("a") as file:
        file.write(f"{what} {terms.process}\n")
    return terms.process


def forked(terms: Terms, log: Path, source: Path | None) -> None:
    """The same as a child of a fork server, its stderr going to a file; with `source`, as a program of that tree."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    if source is not None:
        os.chdir(source)
        program = [sys.executable, "-m", "tests.faults.member", msgspec.json.encode(terms).decode()]
        os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": str(source)})
    main(terms)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Terms))
