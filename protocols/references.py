"""Payloads too large for a message: kept as objects by content digest, named in the envelope's `ref`.

A sender whose payload has more than `LIMIT` bytes stores it in the object store `objects`, sends the payload `null`, and
sets `ref`. A receiver fetches the bytes, which are verified against the digest, before it does anything with the
message: handlers and acts only ever see whole payloads. Because `ref` stands beside the payload and not in it, no user's
data can be mistaken for a reference. The same Struct names large values in journals.
"""

from __future__ import annotations

import re

import msgspec

LIMIT = 64 * 1024
"""Payloads above this many bytes travel by reference."""

LARGEST = 256 * 1024 * 1024
"""A reference to more bytes than this is refused unread."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Where a payload is: `digest` is `sha256:<hex>` of its `size` bytes."""

    digest: str
    size: int

    def __post_init__(self) -> None:
        if not _DIGEST.match(self.digest):
            raise ValueError(f"a reference's digest is 'sha256:' and 64 hex digits, got {self.digest[:80]!r}")
        if not 0 <= self.size <= LARGEST:
            raise ValueError(f"a reference may name at most {LARGEST} bytes, got {self.size}")
