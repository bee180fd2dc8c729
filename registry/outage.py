"""When the store was away, silence proves nothing: `Outage` says for how long expiries are not to be acted on.

Without I/O. Presence reports failed renewals, the directory lost connections; both share one `Outage`. After the last of
these sources has recovered everybody gets one full lease to renew before a missing lease means a dead process.
"""

from __future__ import annotations


class Outage:
    """Times are readings of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._sources: set[str] = set()
        self._until = float("-inf")

    def began(self, source: str) -> None:
        """The store is out of reach as `source` sees it. Again: nothing happens."""
        self._sources.add(source)

    def ended(self, source: str, now: float, grace: float) -> bool:
        """`source` reaches it again; expiries count once `grace` seconds have passed. True if there was an outage."""
        if source not in self._sources:
            return False
        self._sources.discard(source)
        self._until = max(self._until, now + grace)
        return True

    def forgot(self, now: float, grace: float) -> None:
        """The store has lost what nobody removed, as one in memory does when its servers restart, one after the other:
        whoever lives will write it again within `grace` seconds."""
        self._until = max(self._until, now + grace)

    @property
    def active(self) -> bool:
        """Whether it is out of reach right now."""
        return bool(self._sources)

    @property
    def settles_at(self) -> float:
        """When expiries count again, if nothing else happens."""
        return self._until

    def doubtful(self, now: float) -> bool:
        """Whether an expiry heard now may only mean that the store was away."""
        return self.active or now < self._until
