"""radon: functions with too many ways through them, reported where the change made one so, or more so."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.agents.review.analysers.tool import run_over, understood
from mesh.agents.review.analysers.vulture import whole
from mesh.agents.review.findings import Severity
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Workspace

SIMPLE_ENOUGH = 10
"""McCabe's own bound: one more is a finding."""


async def radon(workspace: Workspace) -> Analysis:
    """Count both sides at once."""
    files = [*workspace.files("after", whole), *workspace.files("before", whole)]
    if not files:
        return Analysis()
    runs, notes = await run_over(workspace, "radon", ["cc", "--json", "--no-assert"], files)
    with understood("radon"):
        reports: list[dict[str, Any]] = [msgspec.json.decode(ended.output) for ended in runs]
        lists = [(path, found) for report in reports for path, found in report.items() if isinstance(found, list)]
        blocks = [(path, block) for path, found in lists for block in found]
        functions = [(path, block) for path, block in blocks if block["type"] != "class"]
        observations = tuple(_seen(*each) for each in functions if each[1]["complexity"] > SIMPLE_ENOUGH)
    return Analysis(observations=observations, notes=notes)


def _seen(path: str, block: dict[str, Any]) -> Observation:
    name = ".".join(part for part in (block.get("classname"), block["name"]) if part)
    count = int(block["complexity"])
    return Observation(
        path=path,
        line=int(block["lineno"]),
        end_line=int(block["endline"]),
        rule="radon:complexity",
        message=f"`{name}` has a cyclomatic complexity of {count}; {SIMPLE_ENOUGH} is the bound",
        category="complexity",
        severity=_severity(count),
        origin="radon",
        confidence=0.95,
        subject=name,
        measure=float(count),
    )


def _severity(count: int) -> Severity:
    if count > 25:
        return "high"
    return "medium" if count > 15 else "low"
