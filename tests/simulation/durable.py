"""`ForgetfulDurable`: a consumer whose last acks do not survive a killed server, as was measured on the real one."""

from __future__ import annotations

import asyncio

from mesh.protocols.ports import Stored
from mesh.transport.memory.durable import Durable
from mesh.transport.memory.log import Log
from tests.simulation.network import true_time

REMEMBER = 64


class ForgetfulDurable(Durable):
    """`Durable` that can take acks back."""

    def __init__(self, log: Log, name: str) -> None:
        super().__init__(log, name)
        self._acked: list[tuple[float, Stored, int]] = []

    def ack(self, sequence: int) -> None:
        """It is done, until a crash says otherwise."""
        stored = self._log.get(sequence)
        if stored is not None:
            now = true_time(asyncio.get_running_loop())
            self._acked.append((now, stored, self._attempts.get(sequence, 1)))
            del self._acked[:-REMEMBER]
        super().ack(sequence)

    def forget_acks(self, seconds: float) -> None:
        """What was acked within the last so many seconds comes again."""
        since = true_time(asyncio.get_running_loop()) - seconds
        for when, stored, attempts in self._acked:
            if when >= since:
                self._log.restore(stored)
                self._attempts[stored.sequence] = attempts
                if stored.sequence not in self._again:
                    self._again.append(stored.sequence)
        self._acked.clear()
