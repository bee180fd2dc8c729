"""Who is suspected, and why. Cheap and reversible: a suspect is passed over, never deposed; safety rests on none of this.

Without I/O. Three grounds: a process was silent when asked; somebody in this process accused an instance (a breaker
opened, an award went unanswered); breakers of several other processes, told in their heartbeats, are open against it.
"""

from __future__ import annotations

SEVERAL = 2
"""From how many processes on open breakers count against an instance for everybody."""


class Suspicions:
    """Instances are named by key, `<process>.<agent>.<instance>`."""

    def __init__(self) -> None:
        self._silent: dict[str, str] = {}
        self._accused: dict[str, str] = {}
        self._told: dict[str, tuple[str, ...]] = {}
        self._votes: dict[str, dict[str, int]] = {}

    def silent(self, process: str, why: str) -> None:
        """The process did not answer."""
        self._silent[process] = why

    def heard(self, process: str) -> bool:
        """A sign of life. True if it had been thought silent."""
        return self._silent.pop(process, None) is not None

    def accuse(self, key: str, why: str) -> None:
        """Something in this process holds this against the instance."""
        self._accused[key] = why

    def absolve(self, key: str) -> bool:
        """It proved itself. True if it had been accused."""
        return self._accused.pop(key, None) is not None

    def told(self, reporter: str, breakers: tuple[str, ...]) -> set[str]:
        """An instance's beat names the targets its breakers hold open. Answers the targets whose case changed by it.

        A target is an instance's key, and what follows it after a space (the capability) is of no matter here.
        """
        old = self._told.get(reporter, ())
        if old == breakers:
            return set()
        before, after = _targets(old), _targets(breakers)
        if breakers:
            self._told[reporter] = breakers
        else:
            del self._told[reporter]
        process = reporter.partition(".")[0]
        for target in before - after:
            self._vote(target, process, -1)
        for target in after - before:
            self._vote(target, process, 1)
        return before ^ after

    def verdict(self, key: str) -> str:
        """Why the instance is suspected; empty if it is not."""
        process = key.partition(".")[0]
        if process in self._silent:
            return self._silent[process]
        if key in self._accused:
            return self._accused[key]
        votes = len([each for each in self._votes.get(key, ()) if each != process])
        return f"breakers of {votes} processes are open against it" if votes >= SEVERAL else ""

    def forget(self, key: str) -> set[str]:
        """The instance is gone: what it said of others no longer counts, nor what was said of it here."""
        self._accused.pop(key, None)
        return self.told(key, ())

    def _vote(self, target: str, process: str, by: int) -> None:
        votes = self._votes.setdefault(target, {})
        votes[process] = votes.get(process, 0) + by
        if votes[process] <= 0:
            del votes[process]
        if not votes:
            del self._votes[target]


def _targets(breakers: tuple[str, ...]) -> set[str]:
    return {each.partition(" ")[0] for each in breakers}
