"""Which name a host takes. Pure, apart from asking the machine for its own."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterator

_LONGEST = 40


def machine_name() -> str:
    """This machine's name as a host's name: its first part, lower case, nothing but letters, digits and '-'."""
    bare = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return bare[:_LONGEST].strip("-") or "host"


def free_names(wanted: str, taken: Collection[str]) -> Iterator[str]:
    """The name itself if it is free, then `<name>-2`, `<name>-3`, …"""
    if wanted not in taken:
        yield wanted
    for number in range(2, 1000):
        if f"{wanted}-{number}" not in taken:
            yield f"{wanted}-{number}"
