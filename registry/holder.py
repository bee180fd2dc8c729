"""Writes the lease of one process: takes it, renews it by compare-and-set, gives it back. `lease.py` decides.

A write whose answer was lost is settled by reading back: our incarnation there means that it was stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import msgspec

from mesh.protocols.errors import Conflict, MeshError
from mesh.protocols.ports import Bucket, Clock, KeyValue, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.buckets import lease_key, open_leases
from mesh.registry.lease import Term, name_taken
from mesh.registry.records import Lease, lease_in

Alive = Callable[[Lease], Awaitable[bool | None]]
"""Asks whether the process behind a lease lives: True, False, or None when it says nothing."""

Renewal = Literal["renewed", "recreated", "superseded"]
"""Written over our last; written though it had gone; another incarnation holds the name."""

POLL = 0.1
TRIES = 3


class Holder:
    """Keeps `term` in step with the bucket. One caller at a time."""

    def __init__(self, store: Store, clock: Clock, subjects: Subjects, term: Term, process: str) -> None:
        self._store = store
        self._clock = clock
        self._subjects = subjects
        self._term = term
        self._key = lease_key(process)
        self._incarnation = ""
        self._vanished = False
        self._newest = 0
        self._rival: KeyValue | None = None
        self._bucket: Bucket | None = None

    async def take(self, lease: Lease, alive: Alive) -> None:
        """Get the lease for the first time, or over the body of a former holder.

        Raises:
            NameTaken: another process holds the name, and lives.
        """
        self._incarnation = lease.incarnation
        end = self._clock.monotonic() + self._term.seconds + 2
        seen: KeyValue | None = None
        while True:
            found = await (await self._open()).get(self._key)
            holder = _holder(found)
            if found is None or holder is None or holder.incarnation == lease.incarnation:
                if await self._write(lease, 0 if found is None else found.revision):
                    return
            elif await self._dead(holder, found, seen, alive):
                if await self._write(lease, found.revision):
                    return
            elif self._clock.monotonic() >= end:
                raise name_taken(holder)
            else:
                seen = seen or found
                await self._clock.sleep(POLL)

    async def renew(self, lease: Lease) -> Renewal:
        """Write the lease over our last revision, or anew if it is gone.

        Raises:
            MeshError: the store is out of reach, or behind; whether it was written is settled by the next call.
        """
        for _ in range(TRIES):
            if await self._write(lease, self._term.revision):
                anew, self._vanished = self._vanished, False
                return "recreated" if anew else "renewed"
            found = await (await self._open()).get(self._key)
            holder = _holder(found)
            if found is not None and holder is not None and holder.incarnation != lease.incarnation:
                self._check_rival(found)
                self._term.superseded()
                return "superseded"
            if found is None:
                self._term.vanished()
                self._vanished = True  # until a write is acknowledged: what stood beside it may be gone as well
            else:
                self._term.adopt(found.revision)
        raise Conflict(f"the lease {self._key!r} changed {TRIES} times while it was being renewed")

    def _check_rival(self, found: KeyValue) -> None:
        """Another's lease that is older than ours may be what a server which is behind still has of an earlier start. It is a
        rival's, in a store that was made anew, if it is being renewed.

        Raises:
            Conflict: that is not known yet.
        """
        rival, self._rival = self._rival, found
        if found.revision < self._newest and (rival is None or rival.revision == found.revision):
            raise Conflict(f"an older lease than ours was read under {self._key!r}: is a server of the cluster behind?")

    async def release(self) -> None:
        """Purge the lease, if it is still ours. Again: nothing happens."""
        if self._term.over:
            return
        revision = self._term.revision
        self._term.released()
        await self._purge(revision)

    async def _purge(self, revision: int) -> None:
        """A renewal cut short may have been stored after all, over our last or (0) anew: then it is that one which goes."""
        bucket = await self._open()
        if revision:
            with suppress(Conflict):
                await bucket.delete(self._key, revision=revision)
                return
        found = await bucket.get(self._key)
        holder = _holder(found)
        if found is not None and holder is not None and holder.incarnation == self._incarnation:
            await bucket.delete(self._key, revision=found.revision)

    def forget_bucket(self) -> None:
        """The store was away: open the bucket afresh, creating it if it is gone."""
        self._bucket = None

    async def _dead(self, holder: Lease, found: KeyValue, seen: KeyValue | None, alive: Alive) -> bool:
        """Whether the present holder is dead. One that renews, or answers, is not; a frozen one is waited for."""
        if seen is not None and seen.revision != found.revision:
            raise name_taken(holder)
        answer = await alive(holder)
        if answer:
            raise name_taken(holder)
        return answer is False

    async def _write(self, lease: Lease, revision: int) -> bool:
        """True if it was stored. Counted from before the publish."""
        bucket = await self._open()
        began = self._clock.monotonic()
        try:
            stored = await bucket.put(self._key, msgspec.json.encode(lease), ttl=self._term.seconds, revision=revision)
        except Conflict:
            return False
        except MeshError:
            self.forget_bucket()
            raise
        self._term.acquired(stored, began)
        self._newest, self._rival = stored, None
        return True

    async def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = await open_leases(self._store, self._subjects)
        return self._bucket


def _holder(found: KeyValue | None) -> Lease | None:
    return None if found is None or found.value is None else lease_in(found.key, found.value)
