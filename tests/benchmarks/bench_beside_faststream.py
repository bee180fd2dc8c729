"""FastStream's request over the same NATS server, with its decoding and its dependencies, beside our `ask`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.benchmarks.beside import TEXT, Neighbour, beside, missing
from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row

try:
    from faststream.nats import NatsBroker
except ImportError as error:
    raise missing("faststream[nats]", error) from error

SUBJECT = "faststream.echo"


async def main(url: str) -> AsyncIterator[str]:
    """The answering process."""
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SUBJECT)
    async def echo(text: str) -> str:
        return text

    await broker.start()
    yield ""
    await broker.stop()


async def bench(ground: Ground) -> list[Row]:
    """A request, and its answer decoded."""
    side = await ground.other("bench_beside_faststream")
    async with NatsBroker(ground.url, logger=None) as broker:

        async def request() -> None:
            answer = await broker.request(TEXT, SUBJECT, timeout=10.0)
            assert await answer.decode() == TEXT

        return await beside(ground, Neighbour("FastStream", request, (side,), pace=2))
