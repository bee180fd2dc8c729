"""`import mesh` gives exactly these names, each of which exists, and loads nothing until one is used."""

from __future__ import annotations

import subprocess
import sys

import mesh

PUBLIC = [
    "Agent",
    "Answer",
    "Approval",
    "Artifact",
    "AskPerson",
    "Bid",
    "Budget",
    "Cached",
    "CallForProposal",
    "Confidence",
    "Constraints",
    "Context",
    "Degraded",
    "Evidence",
    "FallbackAgent",
    "Hedge",
    "History",
    "Job",
    "Mesh",
    "MeshError",
    "Missing",
    "NotDone",
    "Person",
    "Poisoned",
    "RestartPolicy",
    "State",
    "StepPolicy",
    "Turn",
    "Undo",
    "Usage",
    "Variation",
    "Verdict",
    "agent",
    "command",
    "durable",
    "effect_key",
    "effects",
    "every",
    "histories",
    "on_event",
    "run",
    "tool",
    "workflow",
]


def test_the_public_names_are_these_and_all_of_them_exist() -> None:
    assert mesh.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(mesh, name).__doc__, f"mesh.{name} needs a docstring"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(mesh, "manager")


def test_importing_mesh_loads_none_of_its_parts() -> None:
    code = "import sys, mesh; print([name for name in sys.modules if name.startswith('mesh.')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout.strip() == "[]"


def test_a_client_loads_no_optional_library() -> None:
    code = "import sys; from mesh import Mesh; print([m for m in ('aiohttp','typer','rich','pydantic') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout.strip() == "[]"
