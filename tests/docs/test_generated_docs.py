"""The documentation says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cli.exits import Exit
from mesh.cli.main import COMMANDS
from tests.docs.generated import DOCS, documents, renewed


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert renewed(text) == text, "run: python -m tests.docs.generated"


def test_every_command_and_exit_code_is_documented() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`mesh {name}" not in text] == []
    assert [code for code in Exit if f"| {code.value} |" not in text] == []
