"""`Timers`: what shall come due when no process holds the job. The server keeps them, and publishes each at its time.

tim.set.<tenant>.<job>.<token>   Nats-Schedule: @at 2026-11-20T15:05:25.250Z
tim.due.<tenant>.<job>.<token>   the same message, when its time has come
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime

from mesh.jobs.journals.streams import TIMERS
from mesh.protocols.ports import Store
from mesh.protocols.subjects import Subjects
from mesh.transport.headers import SCHEDULE, SCHEDULE_TARGET

DEADLINE = "deadline"
"""The token of the job's own deadline; waits have that of their key."""


def token_of(key: str) -> str:
    """What tells a wait's timer from the job's others."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class Timers:
    """The stream TIM, for setting and clearing."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._subjects = subjects
        self._stream = subjects.stream(TIMERS)

    async def set(self, tenant: str, job: str, token: str, at: float) -> None:
        """Have it come due at Unix time `at`, by the server's clock; at once if that has passed. Again: the new time counts.

        Raises:
            Transient: the store is out of reach, and it may or may not be set.
        """
        headers = {SCHEDULE: f"@at {_moment(at)}", SCHEDULE_TARGET: self._subjects.timer_due(tenant, job, token)}
        await self._store.append(self._subjects.timer_set(tenant, job, token), b"", headers=headers)

    async def clear(self, tenant: str, job: str, token: str) -> None:
        """Have it not come due any more. Again: nothing happens."""
        await self._store.purge(self._stream, self._subjects.timer_set(tenant, job, token))


def _moment(at: float) -> str:
    """To the next millisecond: nothing comes due before its time, or it would be taken for somebody else's, and be gone. A product
    of seconds may round down to the millisecond that it is just beyond."""
    rounded = math.ceil(at * 1000) / 1000
    rounded += 0.001 * (rounded < at)
    return datetime.fromtimestamp(rounded, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
