"""Moving the bytes of a change set into the object store and out of it: many small blobs travel as few objects.

A bundle is the msgpack of a list of blobs. Each blob is checked against the digest by which the change set names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from mesh.agents.review.changes import Blobs, digest_of
from mesh.protocols.errors import BadPayload, Unavailable
from mesh.protocols.ports import Objects

BUNDLE_BYTES = 2_000_000
"""A bundle is closed when it has so many bytes: what one specialist holds at once stays bounded by the change set."""

_decoder = msgspec.msgpack.Decoder(list[bytes])


async def keep(objects: Objects, blobs: Mapping[str, bytes]) -> tuple[str, ...]:
    """Store the blobs, and give the digests of their bundles. Again: the same bundles, stored once."""
    bundles = [msgspec.msgpack.encode(bundle) for bundle in _bundles(blobs)]
    return tuple(await asyncio.gather(*map(objects.put, bundles)))


def _bundles(blobs: Mapping[str, bytes]) -> Iterator[list[bytes]]:
    """The blobs in the order of their digests, so that the same ones make the same bundles."""
    bundle: list[bytes] = []
    for digest in sorted(blobs):
        bundle.append(blobs[digest])
        if sum(map(len, bundle)) >= BUNDLE_BYTES:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


async def fetch(objects: Objects, bundles: Iterable[str], wanted: Iterable[str]) -> Blobs:
    """The bytes behind each wanted digest.

    Raises:
        Unavailable: one of them, or its bundle, is not in the store. BadPayload: what is named as a bundle is none.
    """
    needed = set(wanted)
    if not needed:
        return {}
    found = [blobs for bundle in await asyncio.gather(*(_get(objects, each) for each in bundles)) for blobs in bundle]
    blobs = {digest: data for data in found if (digest := digest_of(data)) in needed}
    if missing := needed - blobs.keys():
        raise Unavailable(
            f"{len(missing)} files of the change set are not in the object store, {min(missing)} among them"
        )
    return blobs


async def _get(objects: Objects, digest: str) -> list[bytes]:
    try:
        return _decoder.decode(await objects.get(digest))
    except KeyError:
        raise Unavailable(f"the bundle {digest} of the change set is not in the object store") from None
    except msgspec.MsgspecError as error:
        raise BadPayload(f"{digest} is no bundle of a change set: {error}") from None
