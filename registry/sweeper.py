"""The errands of a witness: purges leases of the dead, sweeps what they left, asks those who may be alive after all.

Every peer hears of every death, so each waits a random moment, the longer the more there are: the first one does it, the
others find it done. All removals are guarded by revision: what was written again meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mesh.protocols.errors import Conflict, MeshError
from mesh.protocols.ports import Bucket, Clock, Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.buckets import lease_key, open_leases, open_records
from mesh.registry.chores import Chores
from mesh.registry.probes import Probes
from mesh.registry.records import lease_in
from mesh.registry.witness import Errands, Witness

ANSWER_WITHIN = 0.5
SPREAD_PER_PROCESS = 0.0002
LONGEST_SPREAD = 0.5
SWEEP_PER_PROCESS = 0.002
SETTLE_CHECK = 0.25


class Sweeper(Errands):
    """Does the errands as chores. `witness` is set by whoever joins the two."""

    witness: Witness

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, subjects: Subjects, probes: Probes, chores: Chores
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._subjects = subjects
        self._probes = probes
        self._chores = chores

    def purge(self, process: str) -> None:
        """Remove the lease of a buried process."""
        spread = min(LONGEST_SPREAD, SPREAD_PER_PROCESS * len(self.witness.roster.members))
        self._plan(f"purge {process}", self._ids.random.random() * spread, self._purge, process)

    def reconsider(self, process: str) -> None:
        """Ask a buried process whether it lives."""
        self._plan(f"reconsider {process}", 0.0, self._reconsider, process)

    def sweep(self, process: str) -> None:
        """Remove records that nobody alive stands behind, once it is sure that nobody does."""
        lease = self.witness.lease_seconds
        spread = max(lease, SWEEP_PER_PROCESS * len(self.witness.roster.members))
        self._plan(f"sweep {process}", lease + self._ids.random.random() * spread, self._sweep, process)

    def settle(self) -> None:
        """Look again when expiries count."""
        wait = max(SETTLE_CHECK, self.witness.outage.settles_at - self._clock.monotonic())
        self._plan("settle", wait, self._settle, "")

    def _plan(self, name: str, delay: float, work: Callable[[str], Awaitable[None]], process: str) -> None:
        self._chores.plan(name, delay, lambda: work(process))

    async def _purge(self, process: str) -> None:
        burial = self.witness.buried.get(process)
        if burial is not None:  # else somebody was quicker
            leases = await open_leases(self._store, self._subjects)
            await _remove(leases, lease_key(process), burial.revision)

    async def _reconsider(self, process: str) -> None:
        burial = self.witness.buried.get(process)
        if burial is None:
            return
        asked = await self._probes.ask({process: burial.lease.incarnation})
        try:
            await asked.complete(ANSWER_WITHIN)
        finally:
            await asked.close()
        if process in asked.answered:
            self.witness.exhume(process, self._clock.monotonic())
        elif process in asked.dead:
            await self._purge(process)

    async def _sweep(self, process: str) -> None:
        if self.witness.outage.doubtful(self._clock.monotonic()):
            self.sweep(process)
            return
        try:
            await self._clear(process)
        except MeshError:
            self.sweep(process)  # nobody else may ever do it
            raise

    async def _clear(self, process: str) -> None:
        leftovers = self.witness.roster.leftovers(process)
        if leftovers and (leftovers := await self._orphaned(process, leftovers)):
            records = await open_records(self._store, self._subjects)
            for key, revision in leftovers.items():
                await _remove(records, key, revision)

    async def _orphaned(self, process: str, leftovers: dict[str, int]) -> dict[str, int]:
        """Those of the records that are of no start which holds the lease now: the watch may tell of it later than of them."""
        found = await (await open_leases(self._store, self._subjects)).get(lease_key(process))
        lease = lease_in(found.key, found.value) if found is not None and found.value is not None else None
        if lease is None:
            return leftovers
        return {key: each for key, each in leftovers.items() if self.witness.roster.start(key) != lease.incarnation}

    async def _settle(self, _: str) -> None:
        self.witness.settle(self._clock.monotonic())


async def _remove(bucket: Bucket, key: str, revision: int) -> None:
    try:
        await bucket.delete(key, revision=revision)
    except Conflict:
        return  # it was written again, or somebody was quicker: either way it is not ours to remove
