"""What plays the stranger is made of the standard library alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OURS = {"our_agents.py", "conftest.py"}
THEIRS = sorted(path for path in HERE.glob("*.py") if path.name not in OURS and not path.name.startswith("test_"))


@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.name)
def test_it_imports_nothing_of_the_mesh(path: Path) -> None:
    imported: set[str] = set()
    for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(each, ast.ImportFrom):
            imported |= {f"{each.module}.{name.name}" for name in each.names}
        elif isinstance(each, ast.Import):
            imported |= {name.name for name in each.names}
    own = {each for each in imported if each.startswith("tests.foreign.")}
    assert {each.split(".")[2] for each in own} <= {each.stem for each in THEIRS}
    assert {each.partition(".")[0] for each in imported - own} <= sys.stdlib_module_names


def test_there_is_a_stranger() -> None:
    assert {path.stem for path in THEIRS} == {"agent", "kept", "membership", "speech", "wire"}
