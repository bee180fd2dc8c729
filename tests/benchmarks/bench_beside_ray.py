"""A method of a Ray actor beside our `ask`: an asynchronous actor in a process of its own, on a cluster of this machine.

Ray shares memory between processes and so does not copy what is large; 1 KiB it carries in the message itself.
"""

from __future__ import annotations

import os
from typing import Any

from tests.benchmarks.beside import TEXT, Neighbour, beside, missing
from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row

try:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    import ray
except ImportError as error:
    raise missing("ray", error) from error


class Echo:
    """Gives back what came."""

    async def answer(self, text: str) -> str:
        """The one method."""
        return text


async def bench(ground: Ground) -> list[Row]:
    """Calls of one actor."""
    ray.init(
        num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        _node_ip_address="127.0.0.1", _temp_dir=str(ground.folder / "ray"), object_store_memory=100 * 1024 * 1024,
    )  # fmt: skip
    try:
        echo: Any = ray.remote(Echo).options(max_concurrency=64).remote()

        async def request() -> None:
            assert await echo.answer.remote(TEXT) == TEXT

        await request()
        return await beside(ground, Neighbour("Ray actor", request, pace=4))
    finally:
        ray.shutdown()
