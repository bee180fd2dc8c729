"""How long a program takes from exec on: an agent until another process knows it, a command until it has ended, a server
until it can be used.

Times of whole programs, in milliseconds: there is nothing raw to compare them with. Beside them stands what Python takes
to import asyncio, which any of them pays. Everything is compiled (the round that is not counted does that) and in the
page cache.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from mesh.client.mesh import Mesh
from mesh.registry.listing import Change
from mesh.server.temporary import TemporaryServer
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.programs import python
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample, Series

GREETER = """\
from mesh import agent, run

@agent(capability="greet")
async def greet(name: str) -> str:
    return f"Hello, {name}"

run(greet)
"""
MESH = str(Path(sys.executable).with_name("mesh"))
"""The command, as it was installed beside this Python."""
WITHIN = 10.0
EMPTY = Target(name='`python -c "import asyncio"`', unit="ms")
AGENT = Target(name="`python greeter.py` to seen in another directory", floor=400, aim=150, unit="ms")
LISTING = Target(name="`mesh registry ls`", floor=400, unit="ms")
CALL = Target(name="`mesh call greet`", unit="ms")
SERVER = Target(name="`TemporaryServer`, JetStream and all", unit="ms")


async def bench(ground: Ground) -> list[Row]:
    """Start each in turn."""
    (ground.folder / "greeter.py").write_text(GREETER)
    async with Mesh.connect(ground.url, name="watches") as here:
        resident = await python("greeter.py", url=ground.url, folder=ground.folder)
        await there(lambda: here.directory.instances("greet"))
        try:
            found = await ground.take_turns(
                ground.pick(4, 15),
                empty=lambda: ended(ground, "-c", "import asyncio"),
                agent=lambda: seen(ground, here),
                listing=lambda: ended(ground, MESH, "registry", "ls"),
                call=lambda: ended(ground, MESH, "call", "greet", '{"name": "Ada"}'),
                server=served,
            )
        finally:
            resident.kill()
            await resident.wait()
    targets = {"empty": EMPTY, "agent": AGENT, "listing": LISTING, "call": CALL, "server": SERVER}
    return [row(target, found[name]) for name, target in targets.items()]


async def ended(ground: Ground, *arguments: str) -> Sample:
    """Seconds from exec until a program has ended well."""
    started = time.perf_counter()
    program = await python(*arguments, url=ground.url, folder=ground.folder)
    async with asyncio.timeout(WITHIN):
        if status := await program.wait():
            raise RuntimeError(f"python {' '.join(arguments)} ended with status {status}")
    return Sample(time.perf_counter() - started)


async def seen(ground: Ground, here: Mesh) -> Sample:
    """Seconds from exec of the agent until our directory lists it."""
    known, listed = {each.key for each in here.directory.instances()}, asyncio.Event()

    def changed(change: Change) -> None:
        if change.kind == "instance-up" and change.listing is not None and change.listing.key not in known:
            listed.set()

    forget = here.directory.on_change(changed)
    started = time.perf_counter()
    program = await python("greeter.py", url=ground.url, folder=ground.folder)
    try:
        async with asyncio.timeout(WITHIN):
            await listed.wait()
        return Sample(time.perf_counter() - started)
    finally:
        forget()
        program.kill()
        await program.wait()
        await there(lambda: len(here.directory.instances()) <= len(known))


async def served() -> Sample:
    """Seconds until a server of its own has said that it is ready."""
    started = time.perf_counter()
    async with TemporaryServer():
        return Sample(time.perf_counter() - started)


def row(target: Target, series: Series) -> Row:
    """Milliseconds: the median, the least and the most."""
    times = [each.figure * 1e3 for each in series.samples]
    return Row(target=target, figure=series.median * 1e3, least=min(times), most=max(times), rounds=len(times))
