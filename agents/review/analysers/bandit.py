"""bandit: what is dangerous in Python code."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.agents.review.analysers.tool import run_over, understood
from mesh.agents.review.changes import FileChange
from mesh.agents.review.findings import Severity
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Workspace

SEVERITY: dict[str, Severity] = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low"}
CONFIDENCE = {"HIGH": 0.9, "MEDIUM": 0.75, "LOW": 0.5}

LEFT_OUT = ("B101", "B403", "B404", "B405", "B406", "B407", "B408", "B409", "B410", "B603", "B607")
"""Rules that say `think about it` of every import or call of a module, or of every assert: true, and no finding."""


def python(file: FileChange) -> bool:
    """Python sources, whole or in pieces."""
    return file.python


async def bandit(workspace: Workspace) -> Analysis:
    """Run bandit over both sides at once."""
    files = [*workspace.files("after", python), *workspace.files("before", python)]
    if not files:
        return Analysis()
    # by itself it passes over every path in which CVS or .git stands anywhere, and says nothing: hence the empty list
    arguments = ["--format", "json", "--quiet", "--exit-zero", "--exclude=", "--skip", ",".join(LEFT_OUT)]
    runs, notes = await run_over(workspace, "bandit", arguments, files)
    with understood("bandit"):
        reports: list[dict[str, Any]] = [msgspec.json.decode(each.output[each.output.index(b"{") :]) for each in runs]
        unread = {each["filename"] for report in reports for each in report.get("errors", [])}
        observations = tuple(_seen(result) for report in reports for result in report["results"])
    return Analysis(
        observations=observations,
        notes=(
            *notes,
            *(f"bandit could not read {_original(workspace, name)}" for name in sorted(unread) if "after/" in name),
        ),
    )


def _original(workspace: Workspace, name: str) -> str:
    file = workspace.change(name)
    return file.path if file else name


def _seen(result: dict[str, Any]) -> Observation:
    return Observation(
        path=result["filename"],
        line=result["line_number"],
        end_line=max(result.get("line_range") or [0]),
        rule=f"bandit:{result['test_id']}",
        message=" ".join(result["issue_text"].split()),
        category="security",
        severity=SEVERITY.get(result["issue_severity"], "low"),
        origin="bandit",
        confidence=CONFIDENCE.get(result["issue_confidence"], 0.5),
    )
