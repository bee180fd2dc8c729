"""What the code reads of its environment, or sets for the processes it launches, stands in the table of docs/command-line.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("mesh", "agents", "registry", "protocols")
VARIABLE = re.compile(r'"((?:MESH|NATS)_[A-Z_]+)"')


def test_every_variable_of_the_environment_is_documented() -> None:
    files = {file.resolve() for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    used = {name for file in files for name in VARIABLE.findall(file.read_text("utf-8"))}
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    told = set(re.findall(r"`((?:MESH|NATS)_[A-Z_]+)`", page.partition("## The environment")[2]))
    assert "MESH_WIRE" in used
    assert told == used
