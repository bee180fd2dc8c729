"""One part of a review, without a mesh: lay the change set out, run some analysers on it, keep what the change caused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.agents.review.analysers import ruff
from mesh.agents.review.analysers.bandit import bandit
from mesh.agents.review.analysers.builtin import builtin
from mesh.agents.review.analysers.radon import radon
from mesh.agents.review.analysers.secrets import secrets
from mesh.agents.review.analysers.tool import ToolFailed
from mesh.agents.review.analysers.types import types
from mesh.agents.review.analysers.vulture import vulture
from mesh.agents.review.attribution import attributed
from mesh.agents.review.changes import Blobs, ChangeSet
from mesh.agents.review.findings import Finding
from mesh.agents.review.observation import Analyser, Analysis
from mesh.agents.review.workspace import Workspace, workspace

THOROUGH: dict[str, tuple[Analyser, ...]] = {
    "review.security": (bandit, secrets),
    "review.style": (ruff.style,),
    "review.logic": (ruff.logic, vulture, types),
    "review.complexity": (radon,),
}
"""What a specialist runs for its capability."""

QUICK: dict[str, tuple[Analyser, ...]] = {
    "review.security": (ruff.security,),
    "review.style": (ruff.plain_style,),
    "review.logic": (ruff.logic,),
}
"""What a generalist runs: one tool that starts in a few milliseconds, and sees less."""

BUILTIN: dict[str, tuple[Analyser, ...]] = {
    "review.security": (builtin("security"),),
    "review.style": (builtin("style"),),
    "review.logic": (builtin("logic"),),
    "review.complexity": (builtin("complexity"),),
}
"""What it runs where no tool is installed: the checks that come with the mesh, and see less still."""


@dataclass(frozen=True)
class Inspected:
    """What came out, and what could not be done."""

    findings: list[Finding]
    notes: tuple[str, ...]


async def inspect(changes: ChangeSet, blobs: Blobs, analysers: Sequence[Analyser]) -> Inspected:
    """Run the analysers side by side. One that fails becomes a note.

    Raises:
        ToolFailed: every one of them failed.
    """
    with workspace(changes, blobs) as place:
        analyses, failures = await _run_all(place, analysers)
        if failures and not analyses:
            raise ToolFailed("; ".join(failures))
        observations = [seen for analysis in analyses for seen in analysis.observations]
        found = await asyncio.to_thread(attributed, place, observations)  # there may be ten thousands
        findings = {finding.id: finding for finding in found}
    notes = [note for analysis in analyses for note in analysis.notes]
    return Inspected(list(findings.values()), (*notes, *failures))


async def _run_all(place: Workspace, analysers: Sequence[Analyser]) -> tuple[list[Analysis], list[str]]:
    """All at once; when this returns or raises, none of them is in the workspace any more."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(analyser, place)) for analyser in analysers]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    results = [task.result() for task in tasks]
    return [each for each in results if isinstance(each, Analysis)], [each for each in results if isinstance(each, str)]


async def _run(analyser: Analyser, place: Workspace) -> Analysis | str:
    try:
        return await analyser(place)
    except ToolFailed as error:
        return str(error)
