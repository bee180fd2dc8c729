"""The buckets of the registry: all in memory, rebuilt by those who are alive. Their revisions fence nothing."""

from __future__ import annotations

from mesh.protocols.ports import Bucket, BucketSpec, Store
from mesh.protocols.subjects import Subjects

LEASE_PREFIX = "proc."


def lease_key(process: str) -> str:
    """Where the lease of a process stands."""
    return LEASE_PREFIX + process


async def open_records(store: Store, subjects: Subjects) -> Bucket:
    """One record an instance."""
    return await store.bucket(BucketSpec(name=subjects.bucket("registry"), description="agent instances"))


async def open_leases(store: Store, subjects: Subjects) -> Bucket:
    """One lease a process, with a TTL."""
    return await store.bucket(BucketSpec(name=subjects.bucket("leases"), description="process leases"))


async def open_schemas(store: Store, subjects: Subjects) -> Bucket:
    """JSON Schemas by digest."""
    return await store.bucket(BucketSpec(name=subjects.bucket("schemas"), description="JSON Schemas by digest"))
