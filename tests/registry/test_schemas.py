"""A schema is stored once under the digest of its content, and believed only if it is what its digest says."""

from __future__ import annotations

import pytest

from mesh.registry.buckets import open_schemas
from mesh.registry.records import Schema
from mesh.registry.schemas import Schemas, digest_of, schema_of
from mesh.transport.memory.server import MemoryServer
from tests.registry.crew import SUBJECTS

pytestmark = pytest.mark.virtual


def test_the_order_of_keys_does_not_change_a_digest() -> None:
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})


async def test_a_schema_is_written_once(server: MemoryServer) -> None:
    store = server.connect().store
    schema = schema_of({"type": "string"})
    await Schemas(store, SUBJECTS).publish([schema])
    first = await (await open_schemas(store, SUBJECTS)).get(schema.digest)
    await Schemas(store, SUBJECTS).publish([schema])
    assert await (await open_schemas(store, SUBJECTS)).get(schema.digest) == first


async def test_a_digest_that_lies_is_refused_when_written_and_ignored_when_read(server: MemoryServer) -> None:
    store = server.connect().store
    with pytest.raises(ValueError, match="not the digest"):
        await Schemas(store, SUBJECTS).publish([Schema(digest="0" * 64, schema={})])
    bucket = await open_schemas(store, SUBJECTS)
    for value in (b'{"type": "string"}', b"not json", b"[" * 100_000):
        await bucket.put("0" * 64, value)
        assert await Schemas(store, SUBJECTS).get("0" * 64) is None


async def test_the_empty_digest_names_no_schema(server: MemoryServer) -> None:
    assert await Schemas(server.connect().store, SUBJECTS).get("") is None
