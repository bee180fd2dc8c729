"""A process that drives jobs or works for them, made to be killed: what it is, `Terms` say."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from pathlib import Path

import msgspec

from mesh import Mesh, agent
from mesh.clock import SystemIds
from mesh.jobs.host import JobHost
from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.telemetry import Telemetry
from mesh.transport.connection import Connection
from tests.chaos.deployed import deployed
from tests.chaos.plans import Act, Asked, Hands, workflows
from tests.chaos.sagas import sagas
from tests.chaos.tampered import TamperedStore
from tests.faults.expectations import reached
from tests.faults.member import ShiftedClock

GRACE = 10.0
"""Seconds that a drain may take."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to be. `shift` and `jump` (by SIGUSR1) are seconds of its wall clock; `lose` and `copies` as in
    `TamperedStore`; `look_every` seconds pass between two looks for jobs without an owner; `release`: see `deployed`."""

    url: str
    process: str
    folder: str
    drives: bool = True
    works: bool = False
    at_once: int = 64
    look_every: float = 1.0
    shift: float = 0.0
    jump: float = 0.0
    lose: float = 0.0
    copies: int = 1
    release: str = "old"
    seed: int = 0
    log_level: str = "INFO"


async def live(terms: Terms) -> None:
    """Host what is asked for, say so by a file, and stay until SIGTERM; then drain."""
    folder = Path(terms.folder)
    clock = ShiftedClock(terms.shift)
    ids = SystemIds(clock)
    jump = lambda: setattr(clock, "shift", clock.shift + terms.jump)  # noqa: E731
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, jump)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    hands = Hands(folder, terms.process)
    telemetry = Telemetry(clock.now, JsonLines())
    async with await reached(terms.url, name=terms.process, clock=clock, ids=ids) as plain:
        store = TamperedStore(
            plain.store, folder, terms.process, lose=terms.lose, copies=terms.copies, chance=random.Random(terms.seed)
        )
        connection = Connection(plain.bus, store, name=terms.process)  # type: ignore[arg-type]
        over = Mesh.over(connection, process=terms.process, clock=clock, ids=ids, telemetry=telemetry)
        async with over as mesh:
            if terms.works:
                await _work(mesh, hands)
            if terms.drives:
                host = JobHost(mesh.peer, mesh.initiator, at_once=terms.at_once, look_every=terms.look_every)
                mesh._jobs = host
                await host.host([*workflows(hands.carry_out), *sagas(hands), *deployed(hands, terms.release)])
            (folder / f"{terms.process}.ready").write_text(str(os.getpid()))
            await stop.wait()
            await mesh.drain(GRACE)


async def _work(mesh: Mesh, hands: Hands) -> None:
    @agent(capability="chaos.act", effect="idempotent", timeout=60)
    async def hand(job: str, act: Act) -> str:
        return await hands.carry_out(Asked(job, act))

    @agent(capability="chaos.once", effect="at_most_once", timeout=60)
    async def once(job: str, act: Act) -> str:
        return await hands.carry_out(Asked(job, act))

    @agent(capability="chaos.undo", effect="idempotent", timeout=60)
    async def undo(done: str) -> None:
        await hands.undo(done)

    await mesh.host(undo, capacity=64)
    await mesh.host(hand, capacity=64)
    await mesh.host(once, capacity=64)


def forked(terms: Terms, log: Path, source: Path | None) -> None:
    """Be that process, as a child of a fork server; its stderr goes to a file."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=terms.log_level, format="%(levelname)s %(name)s %(message)s", force=True)
    asyncio.run(live(terms))
