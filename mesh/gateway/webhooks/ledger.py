"""`Ledger`: every webhook and every gateway that delivers them, in one file bucket. Who does what is settled by CAS.

A gateway's lease is one key with a TTL in the same bucket; a webhook whose holder has no lease is anybody's.
"""

from __future__ import annotations

import logging

import msgspec

from mesh.gateway.webhooks.hook import HOOKS, UnknownWebhook, Webhook, webhook_bucket
from mesh.protocols.errors import Conflict
from mesh.protocols.ports import Bucket, Clock, KeyValue, Store
from mesh.protocols.subjects import Subjects

KEPT = 3 * 86400
"""Seconds for which a delivered webhook is kept: a submission that is repeated meanwhile does not send it again."""

logger = logging.getLogger("mesh.gateway")
_decoder = msgspec.json.Decoder(Webhook)


class Entry(msgspec.Struct, frozen=True):
    """A webhook and the revision it was read at."""

    hook: Webhook
    revision: int


class Ledger:
    """The bucket, opened at first need."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock) -> None:
        self._store = store
        self._spec = webhook_bucket(subjects)
        self._clock = clock
        self._bucket: Bucket | None = None

    async def bucket(self) -> Bucket:
        """The bucket itself."""
        if self._bucket is None:
            self._bucket = await self._store.bucket(self._spec)
        return self._bucket

    async def all(self) -> list[Entry]:
        """Every webhook, the oldest first."""
        found = [entry_of(each) for each in await (await self.bucket()).all() if each.key.startswith(HOOKS)]
        return sorted((each for each in found if each is not None), key=lambda each: each.hook.registered_at)

    async def get(self, hook: str) -> Entry:
        """One webhook.

        Raises:
            UnknownWebhook: there is none of that id.
        """
        found = await (await self.bucket()).get(HOOKS + hook)
        entry = entry_of(found) if found is not None else None
        if entry is None:
            raise UnknownWebhook(f"no webhook {hook!r}: `mesh gateway webhooks ls` lists them")
        return entry

    async def register(self, hook: Webhook) -> Entry | None:
        """Keep a new webhook. Again: None, and what is there stays."""
        try:
            return Entry(hook, await (await self.bucket()).put(HOOKS + hook.id, _encode(hook), revision=0))
        except Conflict:
            return None

    async def change(self, entry: Entry, **fields: object) -> Entry:
        """Write it with other fields, if nobody else has changed it meanwhile.

        Raises:
            Conflict: somebody has.
        """
        hook = msgspec.structs.replace(entry.hook, changed_at=self._clock.now(), **fields)
        ttl = KEPT if hook.state == "delivered" else None
        revision = await (await self.bucket()).put(HOOKS + hook.id, _encode(hook), revision=entry.revision, ttl=ttl)
        return Entry(hook, revision)

    async def remove(self, entry: Entry) -> None:
        """Take it out, if nobody else has changed it meanwhile.

        Raises:
            Conflict: somebody has.
        """
        await (await self.bucket()).delete(HOOKS + entry.hook.id, revision=entry.revision)

    async def retry(self, entry: Entry) -> Entry:
        """Have a webhook sent anew: its attempts are counted from the start, and whoever is there takes it.

        Raises:
            Conflict: it was changed meanwhile.
        """
        return await self.change(entry, state="waiting", attempts=0, holder="", watcher="", reason="", status=0)


def entry_of(found: KeyValue) -> Entry | None:
    """The webhook in a value of the bucket; None, and a log line, if it is none."""
    if found.value is None:
        return None
    try:
        return Entry(_decoder.decode(found.value), found.revision)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        logger.warning("%s in the bucket of webhooks is not understood: %s", found.key, error)
        return None


def _encode(hook: Webhook) -> bytes:
    return msgspec.json.encode(hook)
