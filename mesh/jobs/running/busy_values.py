"""`BusyValues`: the values of one run. While one is put or fetched, the run is not still: whoever waits for it is on its way to
somewhere, and would stand there until something else wakes the job.
"""

from __future__ import annotations

from mesh.jobs.journals.values import Values
from mesh.jobs.running.stillness import Stillness
from mesh.protocols.ports import Objects


class BusyValues(Values):
    """Those of `values`, which does the work."""

    def __init__(self, values: Values, stillness: Stillness) -> None:
        self._values = values
        self._stillness = stillness

    async def objects(self) -> Objects:
        """As theirs."""
        return await self._values.objects()

    async def put(self, data: bytes, what: str = "object") -> str:
        """As theirs."""
        with self._stillness.working():
            return await self._values.put(data, what)

    async def get(self, digest: str) -> bytes:
        """As theirs."""
        with self._stillness.working():
            return await self._values.get(digest)
