"""`mesh.testing` gives exactly these names, each documented, and loads nothing until one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mesh.testing

PUBLIC = [
    "Faults",
    "MemoryServer",
    "ScriptedModel",
    "ToolCall",
    "Turn",
    "VirtualClock",
    "VirtualLoop",
    "local_mesh",
    "replayed",
    "run_virtual",
    "until",
]


def test_the_public_names_are_these_and_all_of_them_exist() -> None:
    assert mesh.testing.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(mesh.testing, name).__doc__, f"mesh.testing.{name} needs a docstring"
    assert set(PUBLIC) <= set(dir(mesh.testing))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(mesh.testing, "Mock")


@pytest.mark.parametrize("module", ["mesh.testing", "mesh.testing.pytest_plugin"])
def test_importing_it_loads_none_of_the_mesh(module: str) -> None:
    code = f"import sys, {module}; print(sorted(n for n in sys.modules if n.startswith(('mesh.', 'msgspec', 'nats'))))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    allowed = {"mesh.testing", module}
    assert shown.stdout.strip() == str(sorted(allowed))


def test_a_test_in_memory_loads_neither_the_server_nor_a_client_for_it() -> None:
    code = (
        "import sys\n"
        "from mesh.testing import Faults, ScriptedModel, local_mesh, run_virtual\n"
        "async def main():\n"
        "    async with local_mesh() as mesh:\n"
        "        Faults(mesh)\n"
        "run_virtual(main)\n"
        "print([n for n in ('nats', 'pydantic', 'pydantic_ai', 'typer', 'rich', 'aiohttp', 'pytest') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout.strip() == "[]"
