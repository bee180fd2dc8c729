"""JSON Schemas, stored once under the digest of their content, however many instances declare them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from mesh.protocols.errors import Conflict
from mesh.protocols.ports import Bucket, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.buckets import open_schemas
from mesh.registry.records import Schema

logger = logging.getLogger("mesh.registry")


def digest_of(schema: dict[str, Any]) -> str:
    """What a schema is stored under: SHA-256, in hex, of its JSON with sorted keys."""
    return hashlib.sha256(_bytes(schema)).hexdigest()


def schema_of(schema: dict[str, Any]) -> Schema:
    """The schema with its digest."""
    return Schema(digest=digest_of(schema), schema=schema)


def _bytes(schema: dict[str, Any]) -> bytes:
    return msgspec.json.encode(schema, order="deterministic")


class Schemas:
    """The schema bucket, and what was read of it: content never changes under a digest, so reads are kept."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._subjects = subjects
        self._bucket: Bucket | None = None
        self._known: dict[str, dict[str, Any]] = {}

    async def publish(self, schemas: Iterable[Schema]) -> None:
        """Store what is not there yet. Again: nothing happens.

        Raises:
            ValueError: a digest is not the one of its schema.
        """
        bucket = await self._open()
        await asyncio.gather(*(self._publish(bucket, each) for each in schemas))

    async def _publish(self, bucket: Bucket, one: Schema) -> None:
        if digest_of(one.schema) != one.digest:
            raise ValueError(f"schema digest {one.digest!r} is not the digest of its schema")
        self._known[one.digest] = one.schema
        with suppress(Conflict):  # it is there already: that is what stored once means
            await bucket.put(one.digest, _bytes(one.schema), revision=0)

    async def get(self, digest: str) -> dict[str, Any] | None:
        """The schema, or None when it is not there or is not what its digest says."""
        if digest in self._known:
            return self._known[digest]
        found = await (await self._open()).get(digest) if digest else None
        if found is None or found.value is None:
            return None
        schema = _verified(digest, found.value)
        if schema is not None:
            self._known[digest] = schema
        return schema

    def forget_bucket(self) -> None:
        """The store was away: open the bucket afresh, creating it if it is gone."""
        self._bucket = None

    async def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = await open_schemas(self._store, self._subjects)
        return self._bucket


def _verified(digest: str, value: bytes) -> dict[str, Any] | None:
    try:
        schema = msgspec.json.decode(value, type=dict[str, Any])
        if digest_of(schema) == digest:
            return schema
    except (msgspec.MsgspecError, RecursionError):
        pass
    logger.warning("schema %s in the bucket is not what its digest says; ignored", digest)
    return None
