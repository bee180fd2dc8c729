"""`mesh logs` shows what a line says, whatever its fields are called."""

from __future__ import annotations

import json
from pathlib import Path

from mesh.settings.folder import MeshFolder
from tests.command_line import run_mesh

MISFIT = {
    "time": "2026-11-21T10:11:07.813Z", "event": "flag.misfit", "process": "vm-packer-1", "host": "vm", "level": "warning",
    "flag": "slow-packing", "value": "maybe", "expected": "bool",
}  # fmt: skip


def test_a_line_without_a_message_is_shown_with_its_fields(tmp_path: Path) -> None:
    folder = MeshFolder.of(tmp_path).create()
    spoken = {**MISFIT, "message": "it does not fit"}
    (folder.logs / "p.log").write_text(f"{json.dumps(MISFIT)}\n{json.dumps(spoken)}\n", "utf-8")
    shown = run_mesh("logs", "--event", "flag.misfit", folder=tmp_path)
    assert (shown.returncode, "looking in this folder only" in shown.stderr) == (0, True)
    *_, bare, said = shown.stdout.splitlines()
    assert bare.endswith("flag=slow-packing  value=maybe  expected=bool")
    assert "it does not fit  flag=slow-packing" in said
