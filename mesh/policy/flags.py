"""`Flags`: what handlers get for a flag's name. Without I/O.

The most specific one counts: of this tenant and agent, of this tenant, of this agent, of everybody. With a percentage the
value goes to a stable share of all keys: who had it at 10 % still has it at 20 %, on every machine and in every release.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from mesh.protocols.policies import Flag, Value

V = TypeVar("V", bool, int, float, str)
_Name = tuple[str, str, str]


class Flags:
    """All that are set; `all` is keyed as the bucket is."""

    def __init__(self) -> None:
        self.all: dict[str, Flag] = {}
        self._named: dict[_Name, Flag] = {}

    def put(self, flag: Flag) -> None:
        """It is set. Again: the newer value counts."""
        self.all[flag.key] = flag
        self._named[flag.name, flag.tenant, flag.agent] = flag

    def drop(self, key: str) -> None:
        """It is set no more. Again: nothing happens."""
        flag = self.all.pop(key, None)
        if flag is not None:
            del self._named[flag.name, flag.tenant, flag.agent]

    def find(self, name: str, tenant: str = "", agent: str = "") -> Flag | None:
        """The one that counts there."""
        named = self._named
        for asked in ((name, tenant, agent), (name, tenant, ""), (name, "", agent), (name, "", "")):
            if asked in named:
                return named[asked]
        return None


def value_for(flag: Flag, key: str) -> Value | None:
    """What the flag gives to this key; None: it is not among the chosen, and the default counts."""
    return flag.value if flag.percent is None or place_of(flag.name, key) < flag.percent else None


def place_of(name: str, key: str) -> float:
    """Where a key stands between 0 and 100 for a flag of that name: the first 8 bytes of SHA-256 of `name:key`, as a share.

    Each flag shuffles the keys anew, or the same unlucky tenth would have every canary.
    """
    digest = hashlib.sha256(f"{name}:{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 * 100


def fits(value: Value, default: V) -> bool:
    """Whether a handler that expects something like `default` can use the value. A whole number will do for any number."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    return isinstance(value, str) == isinstance(default, str)
