"""detect-secrets: passwords, keys and tokens, in files of any kind. Nothing is ever sent anywhere to verify one.

Its patterns take minutes over long blanks and long lines, so it reads copies without them; lines keep their numbers.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec

from mesh.agents.review.analysers.tool import run_over, understood
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Workspace

PLAIN = "plain"
"""Where in the workspace the copies are."""

WIDTH = 2_000
"""Bytes of a line that are scanned."""

BY_NAME = "detect_secrets.filters.heuristic.is_swagger_file"
"""It passes over every path in which `swagger` stands, and says nothing."""

_SPACES = re.compile(rb"[ \t]{8,}")

GUESSES = {"Base64 High Entropy String": 0.55, "Hex High Entropy String": 0.5, "Secret Keyword": 0.75}
"""Detectors that go by the look of a value; those that know a token's form are surer."""


async def secrets(workspace: Workspace) -> Analysis:
    """Scan every text file of both sides."""
    files = [*workspace.files("after"), *workspace.files("before")]
    if not files:
        return Analysis()
    cut = [name for name in files if await _lay_plain(workspace, name)]
    arguments = ["scan", "--all-files", "--no-verify", f"--disable-filter={BY_NAME}"]
    runs, notes = await run_over(workspace, "detect_secrets", arguments, files, cwd=PLAIN)
    with understood("detect-secrets"):
        reports: list[dict[str, list[dict[str, Any]]]] = [
            msgspec.json.decode(ended.output)["results"] for ended in runs
        ]
        observations = tuple(
            _seen(path, each) for report in reports for path, found in report.items() for each in found
        )
    long = (f"lines of {name.partition('/')[2]} were scanned up to column {WIDTH}" for name in cut if "after/" in name)
    return Analysis(observations=observations, notes=(*notes, *long))


async def _lay_plain(workspace: Workspace, name: str) -> bool:
    """Copy a file for scanning, and say whether a line had to be cut."""
    data, cut = await asyncio.to_thread(_plain, (workspace.root / name).read_bytes())
    target = workspace.root / PLAIN / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return cut


def _plain(data: bytes) -> tuple[bytes, bool]:
    """What is scanned instead, and whether a line was cut: seconds for a large change, so for a thread, which writes nothing."""
    lines = [_SPACES.sub(b" ", line) for line in data.split(b"\n")]
    return b"\n".join(line[:WIDTH] for line in lines), any(len(line) > WIDTH for line in lines)


def _seen(path: str, found: dict[str, Any]) -> Observation:
    kind = str(found["type"])
    return Observation(
        path=path,
        line=int(found["line_number"]),
        rule=f"detect-secrets:{kind.lower().replace(' ', '-')}",
        message=f"Possible secret in the source: {kind}",
        category="security",
        severity="high",
        origin="detect-secrets",
        confidence=GUESSES.get(kind, 0.9),
    )
