"""Which objects a text names: every digest in it, wherever it stands. A digest that names none is no harm."""

from __future__ import annotations

import re

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


def named_in(data: bytes) -> set[str]:
    """The digests in some bytes, as objects are called."""
    return {each.decode() for each in _DIGEST.findall(data)}
