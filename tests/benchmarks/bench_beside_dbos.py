"""A step of a DBOS workflow beside ours: its SQLite system database, everything in this process.

DBOS can also keep its state in PostgreSQL, which this bench does not install.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.benchmarks.beside import missing
from tests.benchmarks.beside_steps import TEXT, Neighbour, beside_steps, work
from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row

try:
    from dbos import DBOS, DBOSConfig
except ImportError as error:
    raise missing("dbos", error) from error


@DBOS.step()
async def step(text: str) -> str:
    """One step."""
    return await work(text)


@DBOS.workflow()
async def steps(count: int) -> int:
    """So many, one after the other."""
    for _ in range(count):
        await step(TEXT)
    return count


async def bench(ground: Ground) -> list[Row]:
    """Runs of one workflow."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{ground.folder / 'dbos.sqlite'}",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
    DBOS(config=config)
    DBOS.launch()
    try:

        async def flow(count: int) -> None:
            assert await steps(count) == count

        return await beside_steps(ground, Neighbour("DBOS step", flow, pace=4))
    finally:
        DBOS.destroy()
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor()
        )  # DBOS had put its own there, and has shut it
