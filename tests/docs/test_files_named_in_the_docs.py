"""A file that the documentation names is there: a path, or after one the bare names of files beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w./-]+\.py)`")
FOLDERS = ("mesh", "agents", "registry", "protocols", "tests")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def folder_of(path: str) -> Path | None:
    """Where the file of that path, or end of a path, is."""
    found = (each for folder in FOLDERS for each in (ROOT / folder).rglob(Path(path).name))
    return next((each.parent for each in found if f"/{each.as_posix()}".endswith(f"/{path}")), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for line in page.read_text("utf-8").splitlines():
        beside: Path | None = None
        for named in NAMED.findall(line):
            if "/" in named:
                beside = folder_of(named)
                assert beside, f"{page.name} names {named}, which is nowhere: {line}"
            elif beside:
                assert (beside / named).exists(), f"{page.name} names {named} as one of {beside}: {line}"
