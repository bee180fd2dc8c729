"""ruff: three families of rules, of which each reviewer asks for its own.

Every family but style runs with ruff's own defaults (`--isolated`). Style honours the declarative settings of the
reviewed repository, as far as `ruff_settings` lets them in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from mesh.agents.review.analysers.ruff_settings import lay_out, read
from mesh.agents.review.analysers.tool import ToolFailed, run_over, understood
from mesh.agents.review.changes import FileChange
from mesh.agents.review.findings import Category, Severity
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Workspace

LOGIC = ("F", "B", "PLE", "E711", "E722", "PLW0127", "RUF006", "RUF008", "ASYNC")
LOGIC_LEFT_OUT = ("B905", "B028")
SECURITY = ("S",)
SECURITY_LEFT_OUT = ("S101", "S403", "S404", "S405", "S406", "S407", "S408", "S409", "S410", "S603", "S607")
STYLE = ("E4", "E5", "E7", "W", "I", "N", "UP", "C4", "SIM", "PIE")
"""What is asked for where the repository has no settings of its own."""

_NOT_STYLE = re.compile(r"F\d|B\d|S\d|C90|PLE|E9|E711|E722|ASYNC|RUF00[68]|PLW0127|invalid-syntax|T10|ERA")
_FORMATTING = re.compile(r"W|I\d|UP|Q|COM|E[1-5]|D\d")
_GRAVE = re.compile(r"F5|F6[23]|F7|F82|PLE|invalid-syntax|E9")
_MINOR = re.compile(r"F401|F841|B904|B007")
_ORIGINS = {"S": "bandit", "F": "pyflakes", "B": "bugbear", "E": "pycodestyle", "W": "pycodestyle"}

_NOT_READ = "E902"
"""It reads UTF-8 alone; of any other file this is all it says, and only if it is asked."""
_COMMON = (
    *("check", "--no-cache", "--no-fix", "--exit-zero", "--output-format=json", "--quiet"),
    f"--extend-select={_NOT_READ}",
)


async def logic(workspace: Workspace) -> Analysis:
    """pyflakes, bugbear and their like. Of a patch alone, what needs the whole file is not asked."""
    found, notes = await _isolated(workspace, LOGIC, LOGIC_LEFT_OUT)
    with understood("ruff"):
        kept = (each for each in found if not _reexport(workspace, each) and not _needs_whole(workspace, each))
        observations = tuple(_seen(each, "logic", _logic_severity(each["code"] or "")) for each in kept)
    return Analysis(observations=observations, notes=notes)


async def security(workspace: Workspace) -> Analysis:
    """ruff's port of bandit's rules: quicker, and a little less thorough."""
    found, notes = await _isolated(workspace, SECURITY, SECURITY_LEFT_OUT)
    with understood("ruff"):
        known = (each for each in found if each["code"] and each["code"].startswith("S"))
        observations = tuple(_seen(each, "security", "medium", confidence=0.7) for each in known)
    return Analysis(observations=observations, notes=notes)


async def style(workspace: Workspace) -> Analysis:
    """Style by the repository's own settings; by ours where it has none or they are refused."""
    files = _files(workspace)
    if not files:
        return Analysis()
    settings, notes = await asyncio.to_thread(read, workspace)
    notes += lay_out(workspace, STYLE, settings)
    try:
        found, unread = await _ruff(workspace, ["--force-exclude"], files)
    except ToolFailed as error:
        notes.append(f"the repository's ruff settings were not honoured: {error}")
        found, unread = await _isolated(workspace, STYLE, ())
    return Analysis(observations=_of_style(found), notes=(*notes, *unread))


async def plain_style(workspace: Workspace) -> Analysis:
    """Style by our own settings, whatever the repository's are."""
    found, notes = await _isolated(workspace, STYLE, ())
    return Analysis(observations=_of_style(found), notes=notes)


def _of_style(found: list[dict[str, Any]]) -> tuple[Observation, ...]:
    with understood("ruff"):
        kept = (each for each in found if each["code"] and not _NOT_STYLE.match(each["code"]))
        return tuple(_seen(each, "style", _style_severity(each["code"]), confidence=0.9) for each in kept)


def _files(workspace: Workspace) -> list[str]:
    return [*workspace.files("after", _python), *workspace.files("before", _python)]


def _python(file: FileChange) -> bool:
    return file.python


Found = tuple[list[dict[str, Any]], tuple[str, ...]]
"""What ruff printed, and notes about files that it could not read."""


async def _isolated(workspace: Workspace, select: Sequence[str], ignore: Sequence[str]) -> Found:
    ignored = ["--ignore", ",".join(ignore)] if ignore else []
    asked = ["--isolated", "--target-version", "py313", "--line-length", "120", "--select", ",".join(select), *ignored]
    return await _ruff(workspace, asked, _files(workspace))


async def _ruff(workspace: Workspace, arguments: Sequence[str], files: Sequence[str]) -> Found:
    if not files:
        return [], ()
    runs, notes = await run_over(workspace, "ruff", [*_COMMON, *arguments], files)
    with understood("ruff"):
        rows = [each for ended in runs for each in msgspec.json.decode(ended.output or b"[]")]
        unread = [each for each in rows if each["code"] == _NOT_READ and workspace.side(each["filename"]) == "after"]
        notes = (*notes, *(_note(workspace, each) for each in unread))
        return [each for each in rows if each["code"] != _NOT_READ], notes


def _note(workspace: Workspace, each: dict[str, Any]) -> str:
    file = workspace.change(each["filename"])
    return f"ruff could not read {file.path if file else each['filename']}: {each['message']}"


def _reexport(workspace: Workspace, each: dict[str, Any]) -> bool:
    """An unused import in a package's `__init__` is how names are passed on."""
    return each["code"] == "F401" and str(each["filename"]).endswith("__init__.py")


def _needs_whole(workspace: Workspace, each: dict[str, Any]) -> bool:
    file = workspace.change(str(each["filename"]))
    return (
        file is not None
        and file.partial
        and bool(re.match(r"F|invalid-syntax|PLE|B018", each["code"] or "invalid-syntax"))
    )


def _seen(each: dict[str, Any], category: Category, severity: Severity, *, confidence: float = 0.85) -> Observation:
    code = each["code"] or "invalid-syntax"
    return Observation(
        path=each["filename"],
        line=each["location"]["row"],
        end_line=each["end_location"]["row"],
        rule=f"ruff:{code}",
        message=" ".join(str(each["message"]).split()),
        category=category,
        severity=severity,
        origin=_ORIGINS.get(re.split(r"\d", code)[0], "ruff"),
        suggestion=(each.get("fix") or {}).get("message") or "",
        confidence=confidence,
    )


def _logic_severity(code: str) -> Severity:
    if not code or _GRAVE.match(code):
        return "high"
    return "low" if _MINOR.match(code) else "medium"


def _style_severity(code: str) -> Severity:
    return "info" if _FORMATTING.match(code) else "low"
