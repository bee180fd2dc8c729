"""`Board`: what the bucket `policies` says, as far as it has been read. Without I/O.

An entry that cannot be read is told. Where its key is that of a switch, the switch holds all the same; of a flag, limit or
share the last value that could be read goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mesh.policy.flags import Flags
from mesh.policy.switches import Switches
from mesh.protocols.policies import (
    EACH,
    Entry,
    Flag,
    RateLimit,
    Switch,
    TenantShare,
    Unreadable,
    entry_in,
    switch_in,
)
from mesh.protocols.ports import KeyValue


class Change(msgspec.Struct, frozen=True):
    """A decision is new, was changed (`before` is what it was), or is gone (`entry` is None)."""

    key: str
    entry: Entry | None
    before: Entry | None = None


class Board:
    """Every decision that is in force. `complain(key, why)` hears of entries that cannot be read."""

    def __init__(self, complain: Callable[[str, str], None] = lambda key, why: None) -> None:
        self._complain = complain
        self._standard = TenantShare()
        self.switches = Switches()
        self.flags = Flags()
        self.limits: dict[str, RateLimit] = {}
        self.shares: dict[str, TenantShare] = {}
        self.entries: dict[str, Entry] = {}
        self.revisions: dict[str, int] = {}

    def apply(self, found: KeyValue, now: float) -> Change | None:
        """An entry was written or deleted; `now` in Unix seconds. None: nothing changes by it."""
        if found.value is None:
            self.revisions.pop(found.key, None)
            return self.drop(found.key)
        self.revisions[found.key] = found.revision
        entry = self._read(found.key, found.value)
        if entry is None:
            return None
        if isinstance(entry, Switch) and entry.until is not None and entry.until <= now:
            return self.drop(found.key)
        return self._put(found.key, entry)

    def drop(self, key: str) -> Change | None:
        """It is in force no more. Again: nothing happens."""
        before = self.entries.pop(key, None)
        if before is None:
            return None
        if isinstance(before, Switch):
            self._lift(before)
        elif isinstance(before, Flag):
            self.flags.drop(before.key)
        elif isinstance(before, RateLimit):
            self.limits.pop(before.key, None)
        elif isinstance(before, TenantShare):
            self.shares.pop(before.tenant, None)
        return Change(key, None, before)

    def share(self, tenant: str) -> TenantShare:
        """What the tenant gets: its own share, that of everybody who has none, or the standard one."""
        shares = self.shares
        return (shares.get(tenant) or shares.get(EACH) or self._standard) if shares else self._standard

    def _put(self, key: str, entry: Entry) -> Change:
        before = self.entries.get(key)
        self.entries[key] = entry
        if isinstance(entry, Switch):
            self.switches.put(entry)
        elif isinstance(entry, Flag):
            self.flags.put(entry)
        elif isinstance(entry, RateLimit):
            self.limits[entry.key] = entry
        elif isinstance(entry, TenantShare):
            self.shares[entry.tenant] = entry
        return Change(key, entry, before)

    def _lift(self, switch: Switch) -> None:
        """Two keys may spell the same name (`=2a` and `=2A`): it stays killed until both are gone."""
        self.switches.drop(switch.key)
        for other in self.entries.values():
            if isinstance(other, Switch) and other.key == switch.key:
                self.switches.put(other)

    def _read(self, key: str, value: bytes) -> Entry | None:
        try:
            return entry_in(key, value)
        except Unreadable as error:
            self._complain(key, str(error))
            return switch_in(key, f"its entry cannot be read, so it holds ({error})")
