"""mypy, where it is installed: type errors in the changed files alone.

No settings of the repository, so no plugins of it; no site packages, no following of imports out of the files that are
there, a cache that lives as long as the workspace. What it says about modules that it cannot see is left out.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec

from mesh.agents.review.analysers.tool import IN_ALL, ToolFailed, installed, run_over, understood
from mesh.agents.review.analysers.vulture import whole
from mesh.agents.review.findings import Severity
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Side, Workspace

FLAGS = (
    "--config-file=",
    "--cache-dir=../home/mypy",
    "--no-site-packages",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--namespace-packages",
    "--explicit-package-bases",
    "--no-error-summary",
    "--output=json",
)

GRAVE = {"syntax", "name-defined", "call-arg", "attr-defined", "return-value", "index", "operator"}
VAGUE = {"misc", "var-annotated", "has-type", "annotation-unchecked"}
_UNSEEN = re.compile(
    r'Module "|Cannot find|Library stubs|Source file found twice|Skipping analyzing|has no attribute "__'
)


async def types(workspace: Workspace) -> Analysis:
    """The after side; the before side only where something stands on an unchanged line and may have been there.

    An unknown name on an unchanged line is left to pyflakes, which needs a hundredth of the time to look at both sides.
    """
    if not installed("mypy"):
        return Analysis()
    until = asyncio.get_running_loop().time() + IN_ALL
    try:
        found, notes = await _one(workspace, "after", until)
    except ToolFailed as error:
        return Analysis(notes=(f"types were not checked: {error}",))
    after = tuple(seen for seen in found if not _of_pyflakes(workspace, seen))
    new = tuple(seen for seen in after if _new(workspace, seen))
    if len(new) == len(after):
        return Analysis(observations=after, notes=notes)
    try:
        before, missed = await _one(workspace, "before", until)
    except ToolFailed as error:
        before, missed = [], (str(error),)
    if missed:  # what may have been there before is nobody's to report
        return Analysis(
            observations=new, notes=(*notes, *(f"types were checked on changed lines alone: {why}" for why in missed))
        )
    return Analysis(observations=(*after, *before), notes=notes)


def _new(workspace: Workspace, seen: Observation) -> bool:
    file = workspace.change(seen.path)
    return file is not None and file.changed(seen.line)


def _of_pyflakes(workspace: Workspace, seen: Observation) -> bool:
    return seen.rule == "mypy:name-defined" and not _new(workspace, seen)


async def _one(workspace: Workspace, side: Side, until: float) -> tuple[list[Observation], tuple[str, ...]]:
    files = [name.removeprefix(f"{side}/") for name in workspace.files(side, whole)]
    if not files:
        return [], ()
    runs, notes = await run_over(
        workspace, "mypy", FLAGS, files, accept=(0, 1, 2), cwd=side, prefix=f"{side}/", until=until
    )
    lines = [line for ended in runs for line in ended.output.splitlines() if line.startswith(b"{")]
    if runs[0].code == 2 and not lines:
        raise ToolFailed(f"mypy: {' '.join(runs[0].errors.split())[:200]}")
    with understood("mypy"):
        said: list[dict[str, Any]] = [msgspec.json.decode(line) for line in lines]
        return [_seen(side, each) for each in said if each["severity"] == "error" and _sees(each)], notes


def _sees(each: dict[str, Any]) -> bool:
    """Not what comes of files that are not there, nor what asks for an annotation."""
    code = str(each["code"])
    return not code.startswith("import") and code not in VAGUE and not _UNSEEN.search(str(each["message"]))


def _seen(side: Side, each: dict[str, Any]) -> Observation:
    code = str(each["code"] or "misc")
    severity: Severity = "high" if code in GRAVE else "medium"
    return Observation(
        path=f"{side}/{each['file']}",
        line=max(1, int(each["line"])),
        end_line=int(each.get("end_line") or 0),
        rule=f"mypy:{code}",
        message=str(each["message"]),
        category="logic",
        severity=severity,
        origin="mypy",
        suggestion=str(each.get("hint") or ""),
        confidence=0.8,
    )
