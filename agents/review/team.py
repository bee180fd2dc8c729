"""The team as a manifest: what `mesh review` starts where no mesh offers the workflow, and the demo everywhere.

The root `mesh.toml` says the same for people to copy and change; a test compares the two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mesh.agents.review.analysers.tool import INSTALL, installed
from mesh.host.manifest import AgentEntry, Manifest, WorkflowEntry

AGENTS = (
    "repository:Repository",
    "specialists:SecurityReviewer",
    "specialists:LogicReviewer",
    "specialists:ComplexityReviewer",
    "specialists:StyleReviewer",
    "specialists:QuickReviewer",
    "llm_reviewer:LlmReviewer",
    "synthesiser:Synthesiser",
)
WORKFLOW = "workflow:code_review"
PACKAGE = "mesh.agents.review"
MODEL_VARIABLE = "MESH_MODEL"
TOOLS = {"bandit": "bandit", "detect_secrets": "detect-secrets", "radon": "radon", "ruff": "ruff", "vulture": "vulture"}
"""The modules that the specialists run, under the names people know."""
NEEDS_MODEL = "llm_reviewer:LlmReviewer"


def shortage() -> str:
    """What a team on this machine does without, and how to get it; nothing where every tool is installed."""
    missing = [name for module, name in TOOLS.items() if not installed(module)]
    if not missing:
        return ""
    instead = "Python's own parser finds" if len(missing) == len(TOOLS) else "the rest of the team finds"
    return f"not installed: {', '.join(missing)}; {instead} less than they do ({INSTALL})"


def team(environ: Mapping[str, str] | None = None) -> Manifest:
    """The manifest of the team. The model's reviewer is left out where no model is configured: it would only decline."""
    env = os.environ if environ is None else environ
    agents = [name for name in AGENTS if name != NEEDS_MODEL or env.get(MODEL_VARIABLE)]
    return Manifest(
        agents=tuple(AgentEntry(use=f"{PACKAGE}.{name}") for name in agents),
        workflows=(WorkflowEntry(use=f"{PACKAGE}.{WORKFLOW}"),),
    )
