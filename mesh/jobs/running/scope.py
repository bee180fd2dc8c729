"""`Scope`: where in a workflow we are. It gives every step its key, and makes time, chance and ids repeat.

The workflow's body is one scope, each `job.branch` another below it. Keys are path + name + occurrence: without a key of
its own, a step is called by its capability, the second one `…#2`. That is only sound one after another: among steps that
run at once, each needs a key.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from mesh.jobs.replay.course import Ahead
from mesh.protocols.errors import StepMisused

current: ContextVar[Scope] = ContextVar("mesh_job_scope")


@dataclass(eq=False)
class Scope:
    """One line of execution in one run. `path` is empty or ends in `/`; `now` is the job time it has seen; what is `ahead` of
    the whole run is known to all its scopes."""

    job: str
    path: str
    now: float
    ahead: Ahead = field(default_factory=lambda: Ahead(set()))
    used: set[str] = field(default_factory=set)
    running: dict[str, bool] = field(default_factory=dict)
    _occurrences: dict[str, int] = field(default_factory=dict)
    _uuids: int = 0

    @cached_property
    def random(self) -> random.Random:
        """Chance, seeded by the job and the path: the same in every run. Seeding takes a while, and few ask."""
        return random.Random(f"{self.job}/{self.path}")

    def below(self, key: str) -> Scope:
        """The scope of a branch."""
        return Scope(self.job, f"{self.path}{key}/", self.now, self.ahead)

    def begin(self, key: str | None, name: str) -> str:
        """The whole key of the step that begins now.

        Raises:
            StepMisused: it runs beside others, and one of them has no key; or the key was used before.
        """
        if self.running and (key is None or not all(self.running.values())):
            others = ", ".join(self.running)
            raise StepMisused(
                f"step {name!r} runs at the same time as {others}, and they could not be told apart after a crash: give "
                f'each a key, such as job.call("{name}", …, key="{name.rpartition(".")[2]}")'
            )
        whole = self.path + (check_key(key) if key is not None else self._occurrence(name))
        if whole in self.used:
            raise StepMisused(f"the key {whole!r} names two steps: give each a key of its own")
        self.used.add(whole)
        self.ahead.came_to(self.path, whole)
        self.running[whole] = key is not None
        return whole

    def end(self, whole: str) -> None:
        """The step is over."""
        self.running.pop(whole, None)

    def saw(self, at: float) -> None:
        """A result that was journaled at `at` (job time) has been seen here."""
        self.now = max(self.now, at)

    def uuid(self) -> str:
        """The next id."""
        self._uuids += 1
        digest = hashlib.sha256(f"{self.job}/{self.path}#{self._uuids}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=5))

    def _occurrence(self, name: str) -> str:
        count = self._occurrences[name] = self._occurrences.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"


def check_key(key: str) -> str:
    """The key itself, if it can name a step.

    Raises:
        StepMisused: it is empty, too long, has a `/`, or cannot be printed.
    """
    if not key or len(key) > 128 or "/" in key or not key.isprintable():
        raise StepMisused(f"{key!r} cannot be a step's key: write 1 to 128 printable characters without '/'")
    return key
