"""`Course`: how a run keeps to what its journal says was done before.

What stands in the journal and the workflow has not come to yet lies *ahead*. Each key it comes to is taken from there. What is
still ahead when the workflow ends was done by code that has changed since; what it asks for under a key must be what was
asked for before. A difference is met as the workflow's policy says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mesh.jobs.replay.divergence import Divergence
from mesh.protocols.job_state import JobState

_AGAIN = re.compile(r"~[0-9a-f]{8}\Z")
"""How the key of a step ends that was done again because its input had changed."""


REPLAY = "~replay"
"""Where a person decides about a job whose journal does not fit the code: `mesh job resolve ID '~replay' --retry`."""
_DECIDED = {"succeeded": "warn", "failed": "fail"}
"""What else may be decided: to let it pass, or to let the job fail."""


class Ahead:
    """Keys of the journal, by the path they stand under: what is true of one line need not be of another."""

    def __init__(self, keys: set[str]) -> None:
        self._count = 0
        self._paths: dict[str, set[str]] = {}
        for key in keys:
            self._paths.setdefault(key[: key.rfind("/") + 1], set()).add(key)
            self._count += 1

    def __bool__(self) -> bool:
        return self._count > 0

    def came_to(self, path: str, key: str) -> None:
        """The workflow asks for it."""
        keys = self._paths.get(path)
        if keys is not None and key in keys:
            keys.remove(key)
            self._count -= 1

    def under(self, path: str) -> list[str]:
        """What stands right there."""
        return sorted(self._paths.get(path, ()))

    def all(self) -> list[str]:
        """All that is left."""
        return sorted(key for keys in self._paths.values() for key in keys)

    def pass_over(self, path: str) -> None:
        """That line has ended: nothing at or below `path` will be asked for."""
        if self:
            for each in [each for each in self._paths if each.startswith(path)]:
                self._count -= len(self._paths.pop(each))

    def give_up(self, path: str, key: str) -> None:
        """That branch was stopped, if it was begun at all."""
        self.came_to(path, path + key)
        self.pass_over(f"{path}{key}/")


class Course:
    """That of one run. `warn` hears of differences that are let pass."""

    def __init__(self, state: JobState, on_change: str, warn: Callable[[Divergence], None]) -> None:
        self.ahead = Ahead(_keys(state))
        self.on_change = _DECIDED.get(_decision(state), on_change)
        self.diverged: Divergence | None = None
        self._warn = warn
        self._patches = state.patches
        self._patched: dict[str, bool] = {}

    def check(self) -> None:
        """Go on only as long as the workflow has kept to its journal: whoever swallowed the error meets it again.

        Raises:
            ReplayDiverged: it has not.
        """
        if self.diverged is not None:
            raise self.diverged.error()

    @property
    def must_park(self) -> bool:
        """Whether a person is to decide how the job goes on."""
        return self.diverged is not None and self.on_change != "fail"

    def differs(self, divergence: Divergence) -> None:
        """By policy: let it pass with a warning, or stop here.

        Raises:
            ReplayDiverged: the job must not go on.
        """
        if self.on_change == "warn":
            self._warn(divergence)
            return
        self.diverge(divergence)

    def diverge(self, divergence: Divergence) -> None:
        """Whatever the policy: this cannot be let pass.

        Raises:
            ReplayDiverged: always.
        """
        self.diverged = self.diverged or divergence
        raise divergence.error()

    def over(self, path: str) -> None:
        """The line at `path` has ended as it should: has it asked for everything?

        Raises:
            ReplayDiverged: it has not, and the policy is strict.
        """
        left = self.ahead.under(path) if path else self.ahead.all()
        if not left:
            return
        self.ahead.pass_over(path)
        divergence = Divergence(
            key=left[0],
            kind="unasked",
            journaled="it and " + f"{len(left) - 1} more" if len(left) > 1 else "it",
            asked="ended without asking for it",
        )
        if self.on_change == "rerun":
            self._warn(divergence)
        else:
            self.differs(divergence)

    def skipped(self, path: str, key: str) -> None:
        """The line at `path` begins something new at `key`, and has not asked for what it had done before.

        Raises:
            ReplayDiverged: the policy is strict.
        """
        left = self.ahead.under(path)
        self.ahead.pass_over(path)
        divergence = Divergence(
            key=left[0],
            kind="unasked",
            journaled="it",
            asked=f"asks for {key!r}, which is new, before it does for that",
        )
        if self.on_change == "rerun":
            self._warn(divergence)
        else:
            self.differs(divergence)

    def raised(self, error: Exception) -> None:
        """The workflow's own code raised something that is no outcome of a step. Where the journal goes on, it had not before:
        what is wrong is the code, and not the job."""
        if self.ahead and self.diverged is None:
            self.diverged = Divergence(
                key=self.ahead.all()[0],
                kind="raised",
                journaled="it",
                asked=f"raises {type(error).__name__} before it gets there: {error}",
            )

    def patched(self, whole: str) -> bool | None:
        """Whether the patch of that name applies to this job; None: it does, and must be journaled."""
        if whole in self._patched:
            return self._patched[whole]
        known = whole in self._patches
        self._patched[whole] = known or not self.ahead
        return None if self._patched[whole] and not known else known


def again(key: str, suffix: str) -> str:
    """The key under which a step with another input is done."""
    return f"{key}~{suffix[:8]}"


def _decision(state: JobState) -> str:
    decided = [
        each.answer.how for key, each in state.waits.items() if key.startswith(REPLAY) and each.answer is not None
    ]
    return decided[-1] if decided else ""


def _keys(state: JobState) -> set[str]:
    waits = {key for key, wait in state.waits.items() if wait.opened.kind not in ("resolution", "killed")}
    artifacts = {each.provenance.step for each in state.artifacts.values() if each.provenance.job == state.job}
    return {key for key in {*state.steps, *waits, *artifacts} if asked_for(state, key) and not _AGAIN.search(key)}


def asked_for(state: JobState, key: str) -> bool:
    """Whether a workflow asks for it. What stands below a step was asked for by nobody: undoing it, or waiting to try it again."""
    cut = key.rfind("/")
    while cut > 0:
        step = state.steps.get(key[:cut])
        if step is not None and step.kind != "branch":
            return False
        cut = key.rfind("/", 0, cut)
    return not key.startswith(REPLAY)


__all__ = ["REPLAY", "Ahead", "Course", "again", "asked_for"]
