"""The next release of the mesh: this very source with the wire's version raised by one, as `n+1 reads n`; and the last one."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("mesh", "protocols", "registry", "tests/faults")
THIS = "VERSION = 1\nREADABLE = (VERSION - 1, VERSION)"


def tree_with_version(folder: Path, version: int) -> Path:
    """A copy of the source in `folder` whose processes write `version` of the wire, and read it and the one before."""
    ignored = shutil.ignore_patterns("__pycache__", "samples")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
    envelope = folder / "protocols" / "envelope.py"
    text = envelope.read_text()
    assert THIS in text, "the wire's version has moved: say so here"
    envelope.write_text(text.replace(THIS, THIS.replace("VERSION = 1", f"VERSION = {version}")))
    return folder
