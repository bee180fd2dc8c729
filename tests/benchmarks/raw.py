"""The raw side of a comparison: a process that answers requests with what it got, on nats-py and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats
from nats.aio.msg import Msg

SUBJECT = "raw.echo"


async def main(url: str) -> AsyncIterator[str]:
    """The answering process."""
    connection = await nats.connect(url)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await connection.subscribe(SUBJECT, cb=answer)
    await connection.flush()
    yield ""
    await connection.close()
