"""`Shelf`: a file bucket of JSON values under keys, changed by compare-and-set. States, histories and effects have one each.

What a bucket alone does not do: a value above 64 KiB goes to the object store, and the record names it; a server that is
away for a moment is waited for; and a writer whose acknowledgement was lost finds out whether its write is in, because
every record carries the ids of the writes it stands on.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from mesh.actors.exchanging.payloads import Payloads
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import Conflict, InvalidName, MeshError, TimedOut, TooLarge, Transient, Unavailable
from mesh.protocols.ports import Bucket, BucketSpec, Clock, Ids, KeyValue, Store
from mesh.protocols.references import LIMIT, Reference
from mesh.protocols.subjects import Subjects

T = TypeVar("T")

LONGEST_KEY = 1024
"""Bytes of UTF-8 in a key."""
LARGEST = 32 * 1024 * 1024
"""Bytes of one value."""
PATIENCE = 10.0
"""Seconds for which a server that is away is waited for."""
REMEMBERED = 32
"""Ids of writes that a record carries: so many may follow a write whose acknowledgement was lost before it is read back."""
LONGEST_PAUSE, SHORT_PAUSE = 0.5, 0.02
"""Seconds between two tries; short ones while a write of ours is in doubt and others go on."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One value as the bucket has it, in `value` or behind `ref`.

    `schema` is the version of its type, `at` when it was written (Unix seconds by the writer's clock), `writes` are the ids
    of the newest writes of this key, the newest first.
    """

    value: msgspec.Raw = NULL
    ref: Reference | None = None
    schema: int = 1
    at: float = 0.0
    writes: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """What stands under a key. `version` 0: nothing; else it grows with every write and is never used again."""

    value: msgspec.Raw | None
    version: int
    schema: int = 1
    at: float = 0.0
    writes: tuple[str, ...] = ()


NOTHING = Found(None, 0)


class Shelf:
    """One bucket, opened at first need. Keys are made of tokens that can stand in a subject: see `token`."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock, ids: Ids, payloads: Payloads, name: str) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._payloads = payloads
        self._spec = BucketSpec(name=subjects.bucket(name), storage="file", description=f"{name} of agents")
        self._bucket: Bucket | None = None

    async def get(self, key: str) -> Found:
        """What stands under the key now.

        Raises:
            Unavailable: the value is large, and its object is gone. Transient: the server stayed away.
        """
        return await self._get(key, LONGEST_PAUSE)

    async def _get(self, key: str, longest_pause: float) -> Found:
        entry = await self._patiently(lambda bucket: bucket.get(key), longest_pause)
        if entry is None or entry.value is None:
            return NOTHING
        return await self._found(entry.value, entry.revision)

    async def put(
        self, key: str, value: msgspec.Raw, *, over: Found | None = None, schema: int = 1, ttl: int | None = None
    ) -> int:
        """Store a value and give its version; with `over`, only where nothing was written since that was found.

        Again after a lost acknowledgement: found out here, so that a write is neither lost nor done twice.

        Raises:
            Conflict: another version is there; `detail` has `expected` and `found`. TooLarge. TimedOut: it is not known
            whether it was stored, as many others have written since.
        """
        data = self._record(await self._kept(value), over, schema)
        record = msgspec.json.encode(data)
        expected = None if over is None else over.version
        give_up, pause, doubtful = self._clock.monotonic() + PATIENCE, 0.01, False
        while True:
            late = self._clock.monotonic() >= give_up
            try:
                return await (await self.bucket()).put(key, record, ttl=ttl, revision=expected)
            except (Conflict, TimedOut) as error:
                doubtful = doubtful or isinstance(error, TimedOut)
                found = await self._get(key, SHORT_PAUSE)
                if data.writes[0] in found.writes:
                    return found.version if found.writes[0] == data.writes[0] else over.version if over else 0
                if over is not None and found.version != over.version:
                    raise self._conflict(key, over, found, doubtful) from error
                if late:
                    raise
            except Transient:  # nothing was sent
                if late:
                    raise
            await self._clock.sleep(pause)
            pause = min(pause * 2, SHORT_PAUSE if doubtful else LONGEST_PAUSE)

    async def give_way(self, attempt: int) -> None:
        """Others were faster: a moment by chance, longer with each attempt, so that everybody has a turn."""
        await self._clock.sleep(self._ids.random.uniform(0.0, min(0.2, 0.002 * 2**attempt)))

    async def delete(self, key: str, *, over: Found | None = None) -> None:
        """Forget the key; with `over`, only if nothing was written since. Again: nothing happens.

        Raises:
            Conflict: another version is there.
        """
        revision = None if over is None else over.version
        try:
            await self._patiently(lambda bucket: bucket.delete(key, revision=revision))
        except Conflict as error:
            found = await self.get(key)
            if found.value is not None:
                raise self._conflict(key, over or NOTHING, found, False) from error

    async def keys(self, prefix: str) -> list[str]:
        """The last tokens of the live keys that begin with `prefix` and have one token more. Reads them all, values too."""
        found: list[str] = []

        def hear(entry: KeyValue) -> None:
            if entry.value is not None:
                found.append(entry.key[len(prefix) + 1 :])

        watch = await self._patiently(lambda bucket: bucket.watch(hear, keys=f"{prefix}.*"))
        try:
            await watch.current
        finally:
            await watch.close()
        return sorted(set(found))

    async def bucket(self) -> Bucket:
        """The bucket itself."""
        if self._bucket is None:
            self._bucket = await self._store.bucket(self._spec)
        return self._bucket

    def _record(self, kept: Record, over: Found | None, schema: int) -> Record:
        writes = (f"{self._ids.random.getrandbits(64):x}", *(over.writes if over is not None else ()))[:REMEMBERED]
        return msgspec.structs.replace(kept, schema=schema, at=self._clock.now(), writes=writes)

    async def _kept(self, value: msgspec.Raw) -> Record:
        data = bytes(value)
        if len(data) > LARGEST:
            raise TooLarge(
                f"a value of {len(data)} bytes; at most {LARGEST} are kept: put it into `ctx.objects()`, and keep the digest",
                detail={"size": len(data), "limit": LARGEST},
            )
        if len(data) <= LIMIT:
            return Record(value=value)
        objects = await self._payloads.objects()
        digest = await self._retried(lambda: objects.put(data))
        return Record(ref=Reference(digest=digest, size=len(data)))

    async def _found(self, data: bytes, revision: int) -> Found:
        record = _records.decode(data)
        value = record.value
        if record.ref is not None:
            objects, digest = await self._payloads.objects(), record.ref.digest
            try:
                value = msgspec.Raw(await self._retried(lambda: objects.get(digest)))
            except KeyError:
                raise Unavailable(f"the value is object {digest}, which is not in the object store") from None
        return Found(value, revision, record.schema, record.at, record.writes)

    async def _patiently(self, work: Callable[[Bucket], Awaitable[T]], longest_pause: float = LONGEST_PAUSE) -> T:
        async def once() -> T:
            return await work(await self.bucket())

        return await self._retried(once, longest_pause)

    async def _retried(self, work: Callable[[], Awaitable[T]], longest_pause: float = LONGEST_PAUSE) -> T:
        """What may be done twice without harm, again until the server is back."""
        give_up, pause = self._clock.monotonic() + PATIENCE, 0.01
        while True:
            try:
                return await work()
            except Conflict:
                raise
            except Transient:
                if self._clock.monotonic() >= give_up:
                    raise
            await self._clock.sleep(pause)
            pause = min(pause * 2, longest_pause)

    @staticmethod
    def _conflict(key: str, over: Found, found: Found, doubtful: bool) -> MeshError:
        """Others have written; with the write before ours among those that the record knows, ours is certainly not in."""
        unseen = len(found.writes) == REMEMBERED and not set(over.writes[:1]) & set(found.writes)
        if doubtful and unseen:
            return TimedOut(
                f"{key}: the server was away while it was written, and others have written it since: read it"
            )
        expected = over.version
        return Conflict(
            f"{key} is at version {found.version}, not {expected}: others have changed it",
            detail={"expected": expected, "found": found.version},
        )


_records = msgspec.json.Decoder(Record)


def token(text: str) -> str:
    """Any text as one token of a key.

    Raises:
        InvalidName: more than `LONGEST_KEY` bytes, or half a surrogate pair.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"{text!r} is no key: it holds half of a surrogate pair") from None
    if len(data) > LONGEST_KEY:
        raise InvalidName(f"a key of {len(data)} bytes: at most {LONGEST_KEY} are allowed; use a digest of it instead")
    return "_" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def text_of(token: str) -> str:
    """The text behind a token."""
    data = token[1:]
    return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode()
