"""Reading a bucket before anything goes on that goes by it, and hearing of every change from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Bucket, KeyValue, Watch

READ_WITHIN = 10.0
"""Seconds."""


async def watched(bucket: Bucket, heard: Callable[[KeyValue], None], name: str, so: str = "") -> Watch:
    """A watch that has handed over all that was there. `name` is the bucket's; `so` says what follows where it was not read.

    Raises:
        TimedOut: it was not, within `READ_WITHIN` seconds; nothing is watched then.
    """
    watch = await bucket.watch(heard)
    try:
        async with asyncio.timeout(READ_WITHIN):
            await watch.current
    except BaseException as error:
        await watch.close()
        if isinstance(error, TimeoutError):
            raise TimedOut(f"the bucket {name} was not read within {READ_WITHIN:g} s{so}") from None
        raise
    return watch
