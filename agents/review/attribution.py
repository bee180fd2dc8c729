"""What of all that tools see is the change to blame for: what stands on changed lines, and what was not there before.

Pure. A finding on an unchanged line counts where the same rule said nothing of that line on the before side: a name whose
import the change removed, say. Of a patch alone the before side is not known, so only changed lines count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mesh.agents.review.changes import FileChange
from mesh.agents.review.findings import Finding
from mesh.agents.review.masking import masked, masked_message, reads_like_prose, without_secrets
from mesh.agents.review.observation import Observation
from mesh.agents.review.topics import severity_of, suggestion_for, topic_of
from mesh.agents.review.workspace import Workspace
from mesh.protocols.artifacts import Confidence, Evidence

EXCERPT_LINES = 3
EXCERPT_WIDTH = 200
MESSAGE_WIDTH = 400
PROSE = 0.4
"""What is left of the confidence in a secret that reads like a sentence."""

_NUMBERS = re.compile(r"\d+")

Known = dict[tuple[str, str], float]
"""The measure of every subject on the before side, by path and subject."""


def attributed(workspace: Workspace, observations: Iterable[Observation]) -> list[Finding]:
    """The observations of the after side that the change caused, as findings with an excerpt for evidence."""
    after: list[tuple[FileChange, Observation]] = []
    places: set[tuple[str, str, str, int]] = set()
    measures: Known = {}
    for seen in observations:
        file = workspace.change(seen.path)
        if file is None:
            continue
        if workspace.side(seen.path) == "after":
            after.append((file, seen))
        elif seen.subject:
            measures[file.path, seen.subject] = max(seen.measure, measures.get((file.path, seen.subject), 0.0))
        else:
            places.add((file.path, *_said(seen), seen.line))
    return [
        _finding(workspace, file, seen)
        for file, seen in after
        if (_grew(file, seen, measures) if seen.subject else _caused(file, seen, places))
    ]


def _said(seen: Observation) -> tuple[str, str]:
    """The rule and what it says, without the line numbers that messages like to mention."""
    return seen.rule, _NUMBERS.sub("#", seen.message)


def _caused(file: FileChange, seen: Observation, places: set[tuple[str, str, str, int]]) -> bool:
    if file.changed(seen.line):
        return True
    if file.partial:
        return file.changed(seen.line, seen.end_line)
    before = file.line_before(seen.line)
    return before is None or (file.path, *_said(seen), before) not in places


def _grew(file: FileChange, seen: Observation, measures: Known) -> bool:
    return file.changed(seen.line, seen.end_line) and seen.measure > measures.get((file.path, seen.subject), 0.0)


def _finding(workspace: Workspace, file: FileChange, seen: Observation) -> Finding:
    topic = topic_of(seen.rule)
    secret = topic == "hardcoded-secret"
    excerpt = excerpt_of(workspace.lines(file.after), seen.line, seen.line if secret else seen.end_line)
    grounds = Evidence(
        source=file.path,
        method=seen.rule,
        locator=str(seen.line) if seen.end_line <= seen.line else f"{seen.line}-{seen.end_line}",
        excerpt=masked(excerpt) if secret else without_secrets(excerpt),
        digest=file.after,
        origin=seen.origin,
    )
    prose = secret and reads_like_prose(excerpt)
    return Finding(
        path=file.path,
        line=seen.line,
        end_line=seen.end_line if seen.end_line > seen.line else 0,
        severity="low" if prose else severity_of(seen.rule, seen.severity),
        category=seen.category,
        rule=seen.rule,
        topic=topic,
        message=(masked_message(seen.message) if secret else seen.message)[:MESSAGE_WIDTH],
        suggestion=suggestion_for(seen.rule, seen.suggestion),
        evidence=(grounds,),
        confidence=Confidence(value=seen.confidence * (PROSE if prose else 1.0), basis="rule"),
    )


def excerpt_of(lines: list[str], first: int, last: int) -> str:
    """Up to three lines of the source, cut to a width."""
    shown = lines[max(0, first - 1) : min(max(first, last), first - 1 + EXCERPT_LINES)]
    return "\n".join(line.rstrip()[:EXCERPT_WIDTH] for line in shown)
