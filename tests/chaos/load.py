"""`under_load`: jobs keep coming while something is done to the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.client.mesh import Mesh
from mesh.protocols.errors import DeadlineExceeded, MeshError, Transient, UnknownAgent
from tests.chaos.callers import Tallied
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act, Asked, acts

ASK_WITHIN = 5.0
"""Seconds: an answer that is lost together with a connection is missed only then."""


@asynccontextmanager
async def under_load(
    fleet: Fleet, mesh: Mesh, *, at_once: int = 8, steps: int = 4, calls: bool = True, pause: float = 0.0
) -> AsyncIterator[None]:
    """Jobs of steps done here and (with `calls`) by agents, handed in `at_once` at a time, with `pause` seconds
    between; at the end, the last are in."""
    stop = asyncio.Event()
    loading = asyncio.ensure_future(_load(fleet, mesh, stop, at_once, steps, calls, pause))
    try:
        yield
    except BaseException:
        loading.cancel()
        raise
    stop.set()
    await loading


async def _load(
    fleet: Fleet, mesh: Mesh, stop: asyncio.Event, at_once: int, steps: int, calls: bool, pause: float
) -> None:
    while not stop.is_set():
        here = not calls or fleet.chance.random() < 0.5
        plan = acts(steps, how="here" if here else "call", ms=fleet.chance.randrange(30))
        await fleet.hand_in_all(mesh, at_once, plan, at_once=at_once)
        await asyncio.sleep(pause)


@asynccontextmanager
async def asking(fleet: Fleet, mesh: Mesh, *, at_once: int = 4, pause: float = 0.02) -> AsyncIterator[Tallied]:
    """Agents are asked, too, over and over; what came of it.

    Raises:
        AssertionError: an ask ended in another way than with its result, a transient error or its deadline, and nobody has
            lost his lease; or its effect was not done.
    """
    stop, tallied = asyncio.Event(), Tallied()
    askers = asyncio.gather(*(_ask_on(fleet, mesh, stop, tallied, each, pause) for each in range(at_once)))
    try:
        yield tallied
    except BaseException:
        askers.cancel()
        raise
    stop.set()
    await askers


async def _ask_on(fleet: Fleet, mesh: Mesh, stop: asyncio.Event, tallied: Tallied, asker: int, pause: float) -> None:
    loop, number = asyncio.get_running_loop(), 0
    while not stop.is_set():
        number += 1
        job, began = f"ask-{asker}-{number}", loop.time()
        try:
            done = await mesh.ask("chaos.act", Asked(job, Act(key="done")), timeout=ASK_WITHIN, key=job)
            assert (done, fleet.ledger.count(f"{job}/done")) == ("done", 1)
            code = "ok"
        except (Transient, DeadlineExceeded) as error:
            code = error.code
        except MeshError as error:
            if isinstance(error, UnknownAgent) and fleet.lapsed(*fleet.names):
                await asyncio.sleep(pause)
                continue
            raise AssertionError(f"{job} ended with {error!r} after {loop.time() - began:.2f} s") from error
        tallied.add(code, loop.time() - began)
        await asyncio.sleep(pause)


def in_words(tallied: Tallied) -> str:
    """How many ended how."""
    return ", ".join(f"{count} {code}" for code, count in sorted(tallied.codes.items()))
