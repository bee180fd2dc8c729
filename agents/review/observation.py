"""What one tool says about one place, before anybody asked whether the change is to blame for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from mesh.agents.review.findings import Category, Severity
from mesh.agents.review.workspace import Workspace


class Observation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing seen. `path` is as the tool printed it.

    `method` names the tool and its rule, `origin` the source of the knowledge (ruff's S rules are bandit's: their agreement
    is not two opinions). With a `subject` (a function's qualified name) and a `measure`, the question is not whether the
    line is new, but whether the measure grew.
    """

    path: str
    line: int
    rule: str
    message: str
    category: Category
    severity: Severity
    origin: str
    end_line: int = 0
    suggestion: str = ""
    confidence: float = 0.8
    subject: str = ""
    measure: float = 0.0


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool saw on both sides, and what it could not do."""

    observations: tuple[Observation, ...] = ()
    notes: tuple[str, ...] = ()


Analyser = Callable[[Workspace], Awaitable[Analysis]]
"""One tool: reads the files of a workspace, and says what it sees on both sides."""
