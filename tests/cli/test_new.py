"""`mesh new agent`: what it writes runs, and its test passes; what would not is refused before anything is written."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.cli.agent_names import names_for
from mesh.cli.exits import BadInput
from mesh.cli.new import write_agent
from tests.command_line import run_mesh

QUICK = ("randomly", "hypothesispytest", "xdist", "anyio", "cacheprovider")


def pass_tests(folder: Path) -> None:
    """Run the generated tests in a pytest of their own."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"-pno:{name}" for name in QUICK), "-c", os.devnull, "."],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout


@pytest.mark.server
def test_a_new_agent_is_tested_launched_asked_and_stopped(tmp_path: Path) -> None:
    made = run_mesh("new", "agent", "price-watcher", folder=tmp_path)
    assert json.loads(made.stdout) == {"written": ["price_watcher.py", "test_price_watcher.py", "mesh.toml"]}
    assert "mesh up --detach && mesh call price-watcher.answer" in made.stderr
    pass_tests(tmp_path)
    up = run_mesh("up", "--detach", folder=tmp_path)
    try:
        assert up.returncode == 0, up.stderr
        asked = run_mesh("call", "price-watcher.answer", '{"text": "hello"}', folder=tmp_path)
        assert (asked.returncode, json.loads(asked.stdout)) == (0, "price-watcher heard: hello")
        listed = json.loads(run_mesh("registry", "ls", "-o", "json", folder=tmp_path).stdout)
        assert len([each for each in listed if each["agent"] == "price-watcher"]) == 2
    finally:
        down = run_mesh("down", folder=tmp_path)
    assert down.returncode == 0, down.stderr
    assert run_mesh("server", "status", folder=tmp_path).returncode == 3


@pytest.mark.parametrize(
    ("agent", "module", "cls", "why"),
    [
        ("greeter", "greeter", "Greeter", ""),
        ("price-watcher", "price_watcher", "PriceWatcher", ""),
        ("3d-printer", "agent_3d_printer", "Agent3dPrinter", "starts with a letter"),
        ("class", "class_agent", "Class", "word of Python's own"),
        ("json", "json_agent", "Json", "hide Python's own module json"),
        ("pytest", "pytest_agent", "Pytest", "hide the installed package pytest"),
        ("mesh", "mesh_agent", "Mesh", "hide the installed package mesh"),
        ("conftest", "conftest_agent", "Conftest", "means something to pytest"),
        ("none", "none", "NoneAgent", ""),
        ("exception", "exception", "ExceptionAgent", ""),
        ("context", "context", "ContextAgent", ""),
        ("a--b-", "a__b_", "AB", ""),
    ],
)
def test_names_hide_nothing_that_is_needed(tmp_path: Path, agent: str, module: str, cls: str, why: str) -> None:
    names = names_for(agent, tmp_path)
    assert (names.agent, names.module, names.cls) == (agent, module, cls)
    assert why in names.why
    assert bool(why) == bool(names.why)
    for path in write_agent(names, tmp_path):
        if path.suffix == ".py":
            ast.parse(path.read_text())


def test_agents_with_difficult_names_pass_their_tests_side_by_side(tmp_path: Path) -> None:
    for agent in ("json", "class", "3d-printer", "context", "none", "mesh", "test", "a--b-"):
        write_agent(names_for(agent, tmp_path), tmp_path)
    pass_tests(tmp_path)


@pytest.mark.parametrize("name", ["Greeter", "my_agent", "a.b", "über", "-x", "a b", "../x", "x" * 64, "*"])
def test_a_bad_name_is_bad_input_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    ended = run_mesh("new", "agent", "--", name, folder=tmp_path)
    assert ended.returncode == 2
    assert "use lower-case letters, digits and '-'" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["greeter.py", "test_greeter.py"])
def test_where_a_file_exists_nothing_is_written(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("mine")
    ended = run_mesh("new", "agent", "greeter", folder=tmp_path)
    assert ended.returncode == 2
    assert f"{file} exists already" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "mine"


def test_a_second_agent_leaves_the_manifest_alone_and_says_what_to_add(tmp_path: Path) -> None:
    run_mesh("new", "agent", "one", folder=tmp_path)
    manifest = (tmp_path / "mesh.toml").read_text()
    ended = run_mesh("new", "agent", "two", folder=tmp_path)
    assert json.loads(ended.stdout) == {"written": ["two.py", "test_two.py"]}
    assert 'use = "two.py:Two"' in ended.stderr
    assert (tmp_path / "mesh.toml").read_text() == manifest


def test_it_writes_into_a_folder_that_it_makes(tmp_path: Path) -> None:
    ended = run_mesh("new", "agent", "greeter", "--folder", "a b/c", folder=tmp_path)
    assert ended.returncode == 0
    assert "cd 'a b/c' && mesh up" in ended.stderr
    assert len(list((tmp_path / "a b" / "c").iterdir())) == 3


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "mesh.toml":
            raise OSError(28, "No space left on device")
        return opened(path, *arguments, **options)  # type: ignore[arg-type]

    opened = Path.open
    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(BadInput, match=r"cannot write to .*: No space left on device"):
        write_agent(names_for("greeter", tmp_path), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run_mesh("new", "agent", "greeter", "--folder", "file", folder=tmp_path).returncode == 2
    assert run_mesh("new", "agent", "greeter", "--folder", "file/below", folder=tmp_path).returncode == 2
