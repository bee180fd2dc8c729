"""A command whose streams lead nowhere, whose folder is gone, or that was given nothing, says so; it neither dies of it nor guesses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mesh.cli.main import main
from tests.command_line import MESH_PROCESS, run_mesh, without_settings


def shell(folder: Path, streams: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """`mesh ps` as a shell starts it."""
    return subprocess.run(
        ["sh", "-c", f'{before} exec "$@" {streams}', "sh", *MESH_PROCESS, "ps", "-o", "json"],
        cwd=folder, env=without_settings(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_as_good_as_nothing(tmp_path: Path, closed: str) -> None:
    ended = shell(tmp_path, closed)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert ended.stdout == ("" if closed == ">&-" else "[]\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to try")
def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    ended = shell(tmp_path, ">/dev/full")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: No space left on device: what was found could not be printed\n",
    )


def test_a_folder_that_is_gone_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", ["mesh", "ps"])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, "has been removed" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    "typed",
    [
        ("job", "cancel", ""),
        ("dlq", "drop", "letter", ""),
        ("approvals", "approve", "job", "", "--yes"),
        ("kill", "agent", "reviewer", "--reason", "x", "--until", ""),
        ("submit", "ship", "{}", "--key", ""),
        ("registry", "ls", "--server", ""),
    ],
    ids=" ".join,
)
def test_what_is_empty_does_not_mean_everything(typed: tuple[str, ...], tmp_path: Path) -> None:
    ended = run_mesh(*typed, folder=tmp_path, NATS_URL="nats://127.0.0.1:1")
    assert (ended.returncode, "is empty: say something, or leave it out" in ended.stderr) == (2, True), ended.stderr
