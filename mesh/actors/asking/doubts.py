"""`Doubts`: whom calls from here pass over, and whom they try again: what breakers, here and elsewhere, amount to.

Asks (`routing`) and awards (the contract net's market) go by the same: an instance whose breaker is not closed here, one that
breakers of several other processes are open against, and a version whose outputs keep failing their gates get no work while
there is anybody else. But somebody must find out whether they are well again, and it is not left to chance: as soon as a
breaker here lets trial calls through, the next call goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mesh.registry.directory import Directory
from mesh.registry.listing import Listing
from mesh.resilience.breakers import Breakers, Key
from mesh.resilience.quality import Quality, version_of

BROKEN = "breaker: calls to it are refused here, it kept failing"
POOR = "quality: outputs of this version kept failing their gates"


class Doubts:
    """The doubts of one process."""

    def __init__(self, directory: Directory, breakers: Breakers, quality: Quality) -> None:
        self._broken = breakers.troubled
        self._untrusted = quality.troubled
        self._poor = directory.poor
        self._breakers = breakers
        self._quality = quality

    @property
    def any(self) -> bool:
        """Whether there is anything to look at: nearly always not. (Suspicions stand on the listings themselves.)"""
        return bool(self._broken or self._untrusted or self._poor)

    def against(self, listing: Listing, what: str) -> str:
        """Why calls for a capability (or command) pass over this instance; empty if they do not."""
        if (listing.key, what) in self._broken:
            return BROKEN
        version = _version(listing, what)
        if version in self._untrusted:
            return POOR
        return self._poor.get(f"{version[0]} {what}", "")

    def refuses(self, listing: Listing, what: str) -> bool:
        """Whether a call would not be let through by the breakers here."""
        return not (self._breakers.allows(listing.key, what) and self._quality.allows(*_version(listing, what)))

    def may_try(self, what: str = "") -> bool:
        """Whether a trial call may go anywhere now; with `what`, one for that. What is open, or forced, costs other calls no more
        than this question, however many there are to choose from."""
        asked = ((self._breakers, self._broken), (self._quality, self._untrusted))
        return any(
            (not what or key[1] == what) and breakers.due(*key, repeatable=True)
            for breakers, troubled in asked
            for key in troubled
        )

    def trial(self, listings: Iterable[Listing], terms: Callable[[Listing], tuple[str, bool]]) -> Listing | None:
        """One of these to which the next call should go, to find out whether it is well again. `terms` gives what it would be
        asked for, and whether that may be repeated."""
        if not self.may_try():
            return None
        return next((each for each in listings if self._due(each, *terms(each))), None)

    def _due(self, listing: Listing, what: str, repeatable: bool) -> bool:
        if listing.record.state != "ready" or (listing.suspicion and not listing.by_votes):
            return False
        version = _version(listing, what)
        broken, untrusted = (listing.key, what) in self._broken, version in self._untrusted
        return (
            (broken or untrusted)
            and (not broken or self._breakers.due(listing.key, what, repeatable=repeatable))
            and (not untrusted or self._quality.due(*version, repeatable=repeatable))
        )


def _version(listing: Listing, what: str) -> Key:
    return version_of(listing.agent, listing.record.version), what
