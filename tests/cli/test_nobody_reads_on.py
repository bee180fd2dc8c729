"""What a command says on the way may have no reader any more (`2>&1 | head -3`), or no room: its work goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh import Mesh
from mesh.jobs.journals.streams import ensure_streams
from tests.command_line import MESH_PROCESS, without_settings
from tests.servers import RealServer

SAYING = (sys.executable, "-c", "from mesh.cli.output import note\nfor i in range(3): note('x')\nprint('went on')")


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    """The end to write to of a pipe whose other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


def run_into(stderr: int, *command: str, folder: Path) -> tuple[int, str]:
    """The exit code and stdout of a process with this stderr."""
    ended = subprocess.run(
        command, cwd=folder, env=without_settings(), stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=120
    )  # fmt: skip
    return ended.returncode, ended.stdout


def test_notes_that_nobody_reads_end_nothing(tmp_path: Path) -> None:
    with pipe_without_reader() as stderr:
        assert run_into(stderr, *SAYING, folder=tmp_path) == (0, "went on\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to try")
def test_notes_for_which_there_is_no_room_end_nothing(tmp_path: Path) -> None:
    with open("/dev/full", "w") as stderr:
        assert run_into(stderr.fileno(), *SAYING, folder=tmp_path) == (0, "went on\n")


@pytest.mark.server
async def test_a_backup_and_a_restore_whose_reader_has_gone_are_finished(server: RealServer, tmp_path: Path) -> None:
    async with Mesh.connect(server.url, name="test") as mesh:
        await ensure_streams(mesh.peer.store, mesh.peer.subjects)
        await mesh.peer.store.append(mesh.peer.subjects.dead_letter("default"), b"{}")
    there = (str(tmp_path / "backup"), "--server", server.url, "-o", "json")
    with pipe_without_reader() as stderr:
        code, saved = await asyncio.to_thread(run_into, stderr, *MESH_PROCESS, "backup", *there, folder=tmp_path)
        assert code == 0
        code, restored = await asyncio.to_thread(
            run_into, stderr, *MESH_PROCESS, "restore", *there, "--replace", folder=tmp_path
        )
        assert code == 0
    names = [each["stream"] for each in json.loads(saved)["streams"]]
    assert len(names) > 1
    assert [each["stream"] for each in json.loads(restored)["streams"]] == names
    async with Mesh.connect(server.url, name="test") as mesh:
        assert len(await mesh.peer.store.read("mesh_default_DLQ", mesh.peer.subjects.dead_letter("default"))) == 1
