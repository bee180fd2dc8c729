"""The ports: what a floor needs from below without knowing what is below.

`Bus` carries messages, `Store` keeps them, `Clock` and `Ids` make time and randomness something that is handed in, so
that the same code runs on a real server, in memory, and under a virtual clock.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from mesh.protocols.snapshots import Snapshots

Headers = Mapping[str, str]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One core-NATS message as it arrived. `reply` is empty when no answer is asked for."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Headers | None = None

    @property
    def no_responders(self) -> bool:
        """The server's own answer that nobody listens (status 503)."""
        return bool(self.headers) and not self.data and self.headers.get("Status") == "503"  # type: ignore[union-attr]


class Subscription(Protocol):
    """A running subscription."""

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""


class Bus(Protocol):
    """Core messaging: at most once, in order per publisher and subject.

    Handlers are plain functions, called in the order of arrival, and must not block: they start bounded work of their own.
    An exception in a handler is logged and does not end the subscription. After a reconnect subscriptions are there again;
    what was sent meanwhile is missed.
    """

    @property
    def connected(self) -> bool:
        """Whether a server is reachable right now."""

    @property
    def client(self) -> tuple[str, int]:
        """(server id, client id) of the present connection: what a disconnect advisory names. Changes on reconnect."""

    @property
    def max_payload(self) -> int:
        """The most bytes a message may have."""

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message to the connection; it leaves soon after, at the latest with `flush`.

        Raises:
            TooLarge: more than `max_payload`.
            Overloaded: too many bytes are waiting already (server away, or slower than we are).
            Unavailable: the connection is closed for good.
        """

    async def subscribe(self, subject: str, handler: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Hear messages; the server knows of it when this returns."""

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> Message:
        """Ask with a private reply subject: for services outside the mesh's own exchange ($JS.API, $SRV, submit).

        Raises:
            NoResponders: at once, when nobody listens.
            TimedOut: no answer within `timeout` seconds.
            Unavailable: the connection is closed or lost meanwhile.
        """

    async def until_connected(self) -> None:
        """Wait for as long as it takes.

        Raises:
            Unavailable: the connection is closed for good.
        """

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until the server has taken everything published so far.

        Raises:
            TimedOut · Unavailable.
        """

    def on_reconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this after every reconnect, once subscriptions are there again."""

    def on_disconnect(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call this whenever the connection is lost."""

    async def close(self) -> None:
        """Flush what can be flushed, then close. Again: nothing happens."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it should be. Ages are in seconds; None means no limit.

    With `allow_schedules` a message with the headers `Nats-Schedule` (`@at <RFC 3339 time>` or `@every <duration>`) and
    `Nats-Schedule-Target` (another subject of the stream) is published there at its time; a newer one on its subject
    replaces it, and purging the subject cancels it.
    """

    name: str
    subjects: tuple[str, ...]
    storage: Literal["file", "memory"] = "file"
    retention: Literal["limits", "workqueue"] = "limits"
    max_age: float | None = None
    max_bytes: int | None = None
    duplicate_window: float = 3600.0
    allow_schedules: bool = False
    description: str = ""


class BucketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A key-value bucket as it should be (history 1; expiries are heard by watchers)."""

    name: str
    storage: Literal["file", "memory"] = "memory"
    description: str = ""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A message in a stream. `time` is the server's timestamp, Unix seconds; `previous` is not known for all reads."""

    subject: str
    data: bytes
    sequence: int
    time: float
    headers: Headers | None = None


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it is: how much is in it (`size` in bytes; `limit` is the most it may have, None for no limit), and the
    sequences of its first and last message. `last` also counts what was removed since."""

    name: str
    storage: Literal["file", "memory"] = "file"
    messages: int = 0
    size: int = 0
    limit: int | None = None
    first: int = 0
    last: int = 0


class Ack(msgspec.Struct, frozen=True, gc=False):
    """The server stored it. `duplicate`: it had it already, by message id."""

    stream: str
    sequence: int
    duplicate: bool = False


class Delivery(Protocol):
    """One message given to a durable consumer: exactly one of `ack`, `retry`, `give_up` ends it."""

    @property
    def message(self) -> Stored:
        """What was stored."""

    @property
    def attempts(self) -> int:
        """How many times it has been delivered, this one included."""

    async def ack(self) -> None:
        """It is done. Acks are weaker than publishes: after a server crash it may come again."""

    async def retry(self, after: float = 0.0) -> None:
        """Deliver it again, not before `after` seconds."""

    async def give_up(self) -> None:
        """Never deliver it again."""

    async def working(self) -> None:
        """It takes longer: start its redelivery timer afresh."""


class Consumer(Protocol):
    """A durable consumer shared by every process that opens it under the same name."""

    async def next(self, timeout: float) -> Delivery | None:
        """The next message, or None when none came within `timeout` seconds. Survives reconnects."""

    async def close(self) -> None:
        """Stop pulling; the durable state stays on the server."""


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """One key's latest value. `value` is None where the key was deleted or has expired (watchers are told so)."""

    key: str
    value: bytes | None
    revision: int


class Watch(Protocol):
    """A running watch: first what is there now, then every change, with no gap over a reconnect."""

    @property
    def current(self) -> Awaitable[None]:
        """Done when everything that was there at the start has been handed over."""

    async def close(self) -> None:
        """Stop it."""


class Bucket(Protocol):
    """Keys with revisions. TTLs are whole seconds and must be given on every write that should expire."""

    async def get(self, key: str) -> KeyValue | None:
        """The live value, or None when there is none (never set, deleted, expired)."""

    async def put(self, key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        """Write, and return the new revision. With `revision`, only over exactly that one (0: only where no live value is).

        Raises:
            Conflict: another revision is there.
        """

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Purge the key; watchers are told. With `revision`, only if it still has it.

        Raises:
            Conflict: another revision is there.
        """

    async def all(self) -> list[KeyValue]:
        """Every live key."""

    async def watch(self, handler: Callable[[KeyValue], None], *, keys: str = ">") -> Watch:
        """Call `handler` with every live value, then with every change. After the bucket was lost (a memory bucket and
        a server restart) the watch goes on on the new one, and is told of each key that is no longer there."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object as its store lists it. `time`: when it was last put, Unix seconds by the server's clock, to within `FRESH`;
    `revision` changes whenever that does."""

    digest: str
    size: int
    time: float
    revision: int


FRESH = 3600.0
"""Seconds. An object that is put again after that counts as put anew."""


class Objects(Protocol):
    """Payloads by content digest (`sha256:<hex>`)."""

    async def put(self, data: bytes) -> str:
        """Store, and return the digest. Again: the same digest, stored once; it counts as just put (see `FRESH`)."""

    async def get(self, digest: str) -> bytes:
        """The bytes, verified against the digest.

        Raises:
            KeyError: no such object.
        """

    async def all(self) -> list[StoredObject]:
        """Every object, the one put longest ago first."""

    async def delete(self, found: StoredObject) -> None:
        """Remove the object, if nobody has put it again since it was listed so. Again: nothing happens.

        Raises:
            Conflict: somebody has; it stays.
        """

    async def tidy(self, before: float) -> int:
        """Remove what is left of puts that never ended, and of which nothing was stored since that time; how many those were."""


class Store(Protocol):
    """Streams, buckets and objects."""

    async def streams(self, prefix: str) -> list[StreamState]:
        """Every stream whose name begins so, by name. What is behind buckets and object stores has other names."""

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream, or bring an existing one to this shape. Again: nothing happens."""

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str = "",
        expected: int | None = None,
        headers: Headers | None = None,
        timeout: float = 5.0,
    ) -> Ack:
        """Publish into whichever stream captures `subject`.

        `expected` is the sequence the last message on this *exact* subject must have (0: none yet).

        Raises:
            Conflict: another sequence is there, or is on its way in (retry after reading back).
            TimedOut: unknown whether it was stored; read back before doing anything else.
            NoResponders: no stream captures the subject, or JetStream is away.
            TooLarge · Unavailable.
        """

    async def read(self, stream: str, subject: str, *, after: int = 0) -> list[Stored]:
        """Every message on `subject` (exact or with wildcards) with a sequence above `after`, in order."""

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on an exact subject."""

    async def last_each(self, stream: str, subjects: str, *, after: int = 0) -> list[Stored]:
        """The newest message of every subject that matches, in order of sequence; those with one above `after` only."""

    async def purge(self, stream: str, subject: str, *, up_to: int | None = None) -> int:
        """Remove every message on `subject` (exact or with wildcards) with a sequence up to and with `up_to` (None: all),
        for good, and say how many those were. Again: 0. A purged subject's guard is 0 again; sequences are never reused."""

    async def counts(self, stream: str, subjects: str) -> dict[str, int]:
        """How many messages are stored on each subject that matches."""

    async def handled(self, stream: str, durable: str) -> int:
        """The sequence up to which that consumer is done with everything; 0 where there is no such consumer."""

    def follow(
        self, stream: str, subject: str, *, after: int | None = 0, since: float | None = None
    ) -> AsyncIterator[Stored]:
        """Every stored message above `after` (or from Unix time `since`; `after=None`: only new ones), then new ones as
        they come, in order and without gaps over a reconnect. Close the iterator to stop."""

    async def consumer(
        self,
        stream: str,
        durable: str,
        subjects: tuple[str, ...],
        *,
        ack_wait: float = 30.0,
        max_deliver: int = 5,
        prefetch: int = 1,
    ) -> Consumer:
        """Open (creating it if needed) the durable consumer that all its peers share.

        `max_deliver`: how often a message is delivered at most; -1: for as long as it takes.
        `prefetch`: how many messages may be on their way to this process, or wait here, before somebody asks for them. 1:
        none. More is for short work that comes in masses; it is only used as far as callers keep up, and what nobody has
        asked for within a second goes back to the others. That counts as an attempt, so leave room in `max_deliver`.
        """

    async def buckets(self, prefix: str) -> list[BucketSpec]:
        """The buckets on disk whose names begin so, by name."""

    async def bucket(self, spec: BucketSpec) -> Bucket:
        """Open the bucket, creating it if needed."""

    async def objects(self, name: str) -> Objects:
        """Open the object store, creating it if needed."""

    def snapshots(self) -> Snapshots:
        """Copies of whole streams.

        Raises:
            Refused: this store is in memory: it is gone with its process, and there is nothing to save.
        """


class Clock(Protocol):
    """Time, handed in. `now` is for people and for the wire; decisions use `monotonic`."""

    def now(self) -> float:
        """Unix seconds. May jump."""

    def monotonic(self) -> float:
        """Seconds that only go forward; the same clock as the running event loop's `time()`."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Ids(Protocol):
    """Identity and chance, handed in."""

    @property
    def random(self) -> random.Random:
        """The source of jitter and tie-breaks."""

    def uuid(self) -> str:
        """A new uuid7 (RFC 9562), sortable by time, as 36 characters."""

    def token(self) -> str:
        """A new short token, unique in this process, fit for a subject."""
