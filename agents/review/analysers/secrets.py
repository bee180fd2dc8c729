"""detect-secrets: passwords, keys and tokens, in files of any kind. Nothing is ever sent anywhere to verify one."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.agents.review.analysers.tool import run_tool
from mesh.agents.review.observation import Analysis, Observation
from mesh.agents.review.workspace import Workspace

GUESSES = {"Base64 High Entropy String": 0.55, "Hex High Entropy String": 0.5, "Secret Keyword": 0.75}
"""Detectors that go by the look of a value; those that know a token's form are surer."""


async def secrets(workspace: Workspace) -> Analysis:
    """Scan every text file of both sides."""
    files = [*workspace.files("after"), *workspace.files("before")]
    if not files:
        return Analysis()
    ended = await run_tool(workspace, "detect_secrets", ["scan", "--all-files", "--no-verify", *files])
    results: dict[str, list[dict[str, Any]]] = msgspec.json.decode(ended.output)["results"]
    return Analysis(observations=tuple(_seen(path, each) for path, found in results.items() for each in found))


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
