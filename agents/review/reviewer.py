"""`Reviewer`: what every specialist does with a change set: fetch the bytes it needs, run its analysers, hand on artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from mesh.actors.declaring.definition import Agent
from mesh.actors.running.context import Context
from mesh.agents.review.analysers.tool import ToolFailed
from mesh.agents.review.changes import ChangeSet, FileChange
from mesh.agents.review.findings import Finding, Report, rank_of, to_artifact
from mesh.agents.review.inspection import inspect
from mesh.agents.review.objects import fetch
from mesh.agents.review.observation import Analyser
from mesh.clock import SystemClock
from mesh.protocols.artifacts import Artifact, Provenance, Verdict
from mesh.protocols.errors import HandlerFailed
from mesh.protocols.ports import Clock

MOST_FINDINGS = 500
"""One report's most findings; the mildest are left out, and a note says how many."""

GATE = "caused-by-the-change"
"""The check that a finding stands on a changed line, or was not there before. Attribution lets nothing else through."""


class Reviewer(Agent, abstract=True):
    """Base of the agents that run tools. `handled` counts the calls since this instance started."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.handled = 0

    async def report(
        self, ctx: Context, capability: str, changes: ChangeSet, analysers: Sequence[Analyser], *, price: float
    ) -> Report:
        """Run the analysers over the files of the change set.

        Raises:
            HandlerFailed: none of them worked. Unavailable: bytes of the change set are not in the object store.
        """
        wanted = python_only if capability != "review.security" else every_text
        blobs = await fetch(await ctx.objects(), changes.bundles, digests(changes, wanted))
        ctx.progress(f"{ctx.agent}: {len(blobs)} files fetched")
        ctx.use(tool_calls=len(analysers), money=price)
        try:
            inspected = await inspect(only(changes, wanted), blobs, analysers)
        except ToolFailed as error:
            raise HandlerFailed(f"no tool of {ctx.agent} worked: {error}") from error
        self.handled += 1
        kept, notes = bounded(inspected.findings)
        made = tuple(self._artifact(ctx, finding) for finding in kept)
        told = tuple(dict.fromkeys((*inspected.notes, *notes, *self.remarks(ctx, capability))))
        return Report(agent=ctx.agent, capability=capability, findings=made, notes=told)

    def remarks(self, ctx: Context, capability: str) -> tuple[str, ...]:
        """What a reader of the review should know about this reviewer."""
        return ()

    def _artifact(self, ctx: Context, finding: Finding) -> Artifact:
        inputs = tuple(ground.digest for ground in finding.evidence if ground.digest)
        who = Provenance(
            agent=ctx.agent, version=self.version, instance=ctx.instance, job=ctx.job, step=ctx.step, inputs=inputs
        )
        passed = Verdict(gate=GATE, result="pass", by=ctx.agent)
        return to_artifact(finding, who, verdicts=(passed,), made_at=self.clock.now())


def python_only(file: FileChange) -> bool:
    """Files that tools for Python read."""
    return file.python


def every_text(file: FileChange) -> bool:
    """Every file that has text."""
    return bool(file.after)


def only(changes: ChangeSet, wanted: Callable[[FileChange], bool]) -> ChangeSet:
    """The change set with the files that are wanted and can be analysed."""
    return msgspec.structs.replace(changes, files=tuple(file for file in changes.analysed if wanted(file)))


def digests(changes: ChangeSet, wanted: Callable[[FileChange], bool]) -> tuple[str, ...]:
    """The blobs of the wanted files, and of the settings."""
    return only(changes, wanted).digests


def bounded(findings: Iterable[Finding]) -> tuple[list[Finding], tuple[str, ...]]:
    """The worst findings, and a note where some had to be left out."""
    ordered = sorted(findings, key=lambda each: (rank_of(each.severity), each.path, each.line, each.rule))
    left_out = len(ordered) - MOST_FINDINGS
    notes = (f"{left_out} milder findings were left out: only {MOST_FINDINGS} are reported",) if left_out > 0 else ()
    return ordered[:MOST_FINDINGS], notes
