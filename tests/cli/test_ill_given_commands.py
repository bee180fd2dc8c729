"""A command whose streams lead nowhere, whose folder is gone, or that was given nothing, says so; it neither dies of it nor guesses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from mesh.cli.main import app, main
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
        ("archive", "run", "--older-than", "30", "--folder", ""),
        ("archive", "ls", "--folder", ""),
        ("archive", "show", "job", "--folder", ""),
        ("archive", "sweep", "--folder", ""),
        ("backup", ""),
        ("restore", ""),
        ("tenant", "erase", "acme", "--yes", "--folder", ""),
        ("new", "agent", "greeter", "--folder", ""),
        ("review", ""),
        ("up", ""),
        ("gateway", "http", "--token-file", ""),
        ("gateway", "http", "--tls-cert", "", "--tls-key", ""),
    ],
    ids=" ".join,
)
def test_what_is_empty_does_not_mean_everything(typed: tuple[str, ...], tmp_path: Path) -> None:
    ended = run_mesh(*typed, folder=tmp_path, NATS_URL="nats://127.0.0.1:1")
    assert (ended.returncode, "is empty: say something, or leave it out" in ended.stderr) == (2, True), ended.stderr
    assert not list(tmp_path.iterdir())


def every(command: Any) -> Iterator[Any]:
    """The command, or those of the group."""
    names = getattr(command, "list_commands", lambda _: [])(None)
    for each in names:
        yield from every(command.get_command(None, each))
    if not names:
        yield command


def test_no_path_of_any_command_is_read_before_it_was_seen_whether_it_is_empty() -> None:
    found = [each.type_descriptor for one in every(get_command(app)) for each in one.params]
    paths = [each.parameter_info for each in found if "Path" in str(each.annotation)]
    assert [each.help for each in paths if each.path_type is not str] == []
    assert len(paths) > 10


def test_the_folder_here_can_be_said(tmp_path: Path) -> None:
    ended = run_mesh("new", "agent", "greeter", "--folder", ".", folder=tmp_path)
    assert (ended.returncode, (tmp_path / "greeter.py").exists()) == (0, True), ended.stderr
    ended = run_mesh("archive", "ls", "--folder", ".", folder=tmp_path)
    assert (ended.returncode, "no job is archived in default" in ended.stderr) == (0, True), ended.stderr


def test_a_file_where_a_folder_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ended = run_mesh("new", "agent", "greeter", "--folder", "taken", folder=tmp_path)
    assert (ended.returncode, "is a file" in ended.stderr) == (2, True), ended.stderr
