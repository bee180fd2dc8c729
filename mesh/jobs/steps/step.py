"""`Step`: what is about to be done, `Outcome`: what came of it, and the two ways in which it comes to neither yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.jobs.replay.divergence import small
from mesh.protocols.answer_source import Source
from mesh.protocols.constraints import Effect, Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Killed, MeshError
from mesh.protocols.job_events import StepKind
from mesh.protocols.job_step_state import NO_STAMPS, NO_USAGE
from mesh.protocols.submission import digest_of


@dataclass(frozen=True, slots=True)
class Step:
    """What is about to be done. `key` is the whole key; `target` is that by which whoever does it knows it, where that is
    another; `before` counts the attempts under the key that it had before it changed; `undoes`: it undoes another one."""

    key: str
    name: str
    kind: StepKind
    input: msgspec.Raw
    effect: Effect = "costly"
    target: str = ""
    before: int = 0
    undoes: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What a replay knows it by."""
        return {"name": self.name, "kind": self.kind, "digest": digest_of(self.input), "input": small(self.input)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `by` is `<agent>.<instance>`, empty for local steps; `source` where it comes from, `degraded` why it is
    less than was asked for."""

    content: msgspec.Raw
    usage: Usage = NO_USAGE
    stamps: Stamps = NO_STAMPS
    by: str = ""
    source: Source = "full"
    degraded: str = ""


class Later(Exception):
    """It was not begun, and may be in `seconds`; by whom is open again."""

    def __init__(self, seconds: float, why: MeshError) -> None:
        super().__init__(f"in {seconds:g} s: {why}")
        self.seconds = seconds
        self.why = why


class Stopped(Exception):
    """An operator has killed what it needs: it was not begun, or was stopped, and may be done when that is allowed again."""

    def __init__(self, why: Killed) -> None:
        super().__init__(why.message)
        self.why = why
