"""Who is suspected, and why. Cheap and reversible: a suspect is passed over, never deposed; safety rests on none of this.

Without I/O. Three grounds: a process was silent when asked; somebody in this process accused an instance (a breaker
opened, an award went unanswered); breakers of several other processes, told in their heartbeats, are not closed against it.

A vote is one string of a beat, `<target> <capability>`. The target is an instance's key, and then what it is asked for is of
no matter here; or `<agent>@<version>`, whose outputs for that capability failed their gates.
"""

from __future__ import annotations

SEVERAL = 2
"""From how many processes on open breakers count against an instance for everybody."""
NAMED = 5
"""So many of those processes are named."""


class Suspicions:
    """Instances are named by key, `<process>.<agent>.<instance>`.

    `poor` are the versions that are passed over for a capability, by `<agent>@<version> <capability>`, and why.
    """

    def __init__(self) -> None:
        self.poor: dict[str, str] = {}
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
        """An instance's beat has these votes. Answers the instances whose case changed by it."""
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
        changed = before ^ after
        for target in changed:
            if "@" in target:
                self._judge_version(target)
        return {each for each in changed if "@" not in each}

    def verdict(self, key: str) -> str:
        """Why the instance is suspected; empty if it is not."""
        return self.held_against(key) or self.voted_out(key)

    def held_against(self, key: str) -> str:
        """What this process knows against it: silence, or an accusation."""
        return self._silent.get(key.partition(".")[0]) or self._accused.get(key, "")

    def voted_out(self, key: str) -> str:
        """What others say of it: empty unless they are several. A process is no witness against itself."""
        votes = self._votes.get(key)
        if votes is None or len(votes) < SEVERAL:
            return ""
        own = key.partition(".")[0]
        others = sorted(each for each in votes if each != own)
        return f"breakers of {_processes(others)} are open against it" if len(others) >= SEVERAL else ""

    def _judge_version(self, target: str) -> None:
        votes = self._votes.get(target, {})
        if len(votes) >= SEVERAL:
            self.poor[target] = f"its outputs failed their gates, say the breakers of {_processes(sorted(votes))}"
        else:
            self.poor.pop(target, None)

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
    targets = ((each, each.partition(" ")[0]) for each in breakers)
    return {whole if "@" in target else target for whole, target in targets}


def _processes(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} processes ({', '.join(names[:NAMED])}{more})"
