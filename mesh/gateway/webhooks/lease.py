"""`GatewayLease`: says that this gateway is alive: one key with a TTL, written again and again."""

from __future__ import annotations

import asyncio
import logging

from mesh.gateway.webhooks.hook import GATEWAYS
from mesh.gateway.webhooks.ledger import Ledger
from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock

SECONDS = 4
"""After so long without a word a gateway counts as dead, and what it held is anybody's."""
RENEWED_EVERY = 1.3

logger = logging.getLogger("mesh.gateway")


class GatewayLease:
    """The lease of one gateway; its id is new at every start, so nobody else ever writes it."""

    def __init__(self, ledger: Ledger, clock: Clock, gateway: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._key = GATEWAYS + gateway
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hold it from now on.

        Raises:
            Unavailable · TimedOut: the store is out of reach.
        """
        await self._renew()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="gateway lease")

    async def stop(self) -> None:
        """Give it back: others need not wait for its end. Again: nothing happens."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await (await self._ledger.bucket()).delete(self._key)
        except MeshError as error:
            logger.info("the gateway's lease could not be given back, it will lapse: %s", error)

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(RENEWED_EVERY)
            try:
                await self._renew()
            except MeshError as error:
                logger.info("the gateway's lease could not be renewed: %s", error)

    async def _renew(self) -> None:
        await (await self._ledger.bucket()).put(self._key, b"{}", ttl=SECONDS)
