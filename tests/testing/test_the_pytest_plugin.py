"""The plugin as users meet it: found by pytest itself, in projects set up in any way, in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import asyncio, time
import pytest
from mesh import agent
from mesh.testing import VirtualClock

@agent
async def greet(name: str) -> str:
    return f"Hello, {name}"

@pytest.mark.virtual
async def test_in_virtual_time(mesh_local, clock, ids):
    assert isinstance(clock, VirtualClock)
    await mesh_local.host(greet)
    real = time.monotonic()
    await clock.sleep(3600)
    assert time.monotonic() - real < 600
    assert await mesh_local.ask("greet", name="Ada") == "Hello, Ada"

@pytest.mark.virtual
class TestInAClass:
    async def test_too(self, clock):
        await clock.sleep(3600)

@pytest.mark.asyncio
async def test_in_real_time(mesh_local, clock):
    assert not isinstance(clock, VirtualClock)
    assert type(asyncio.get_running_loop()).__module__ != "mesh.testing.virtual_time"
    await mesh_local.host(greet)
    assert await mesh_local.ask("greet", name="Ada") == "Hello, Ada"

def test_without_a_loop(clock, ids):
    assert ids.uuid()[14] == "7"
"""

SCOPE = "asyncio_default_fixture_loop_scope = function\n"
"""Which pytest-asyncio warns about where it is missing."""
QUICK = ("randomly", "cacheprovider", "hypothesispytest", "xdist", "timeout", "anyio")

UNMARKED = """
import asyncio
import pytest

@pytest.mark.asyncio
async def test_plain(request):
    assert "mesh.testing.pytest_virtual" not in [name for name, _ in request.config.pluginmanager.list_name_plugin()]
    assert not request.config.hook.pytest_asyncio_loop_factories.get_hookimpls()
"""


def run_pytest(folder: Path, *arguments: str, tests: str = TESTS, ini: str = "", conftest: str = "") -> str:
    """A pytest of its own in an empty project; what it said."""
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")
    if conftest:
        (folder / "conftest.py").write_text(conftest)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"-pno:{name}" for name in QUICK), "-v", *arguments],
        cwd=folder, env=kept, capture_output=True, text=True, timeout=58,
    )  # fmt: skip
    return ended.stdout + ended.stderr


def counts(said: str) -> dict[str, int]:
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|errors?|warnings?)", said)}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    from importlib.metadata import entry_points

    if not any(each.name == "mesh.testing.pytest_plugin" for each in entry_points(group="pytest11")):
        pytest.skip("this installation is older than the entry point: install again")


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_it_works_by_itself_in_both_modes_of_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    said = run_pytest(tmp_path, "--strict-markers", "-W", "error", ini=f"asyncio_mode = {mode}\n{SCOPE}")
    assert counts(said) == {"passed": 4}, said


def test_a_conftest_may_name_it_as_well(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, conftest='pytest_plugins = ["mesh.testing.pytest_plugin"]\n')
    assert counts(said) == {"passed": 4}, said


def test_fixtures_of_a_project_come_before_ours(tmp_path: Path) -> None:
    conftest = "import pytest\n\n@pytest.fixture\ndef clock():\n    return 'mine'\n"
    said = run_pytest(tmp_path, tests="def test_it(clock):\n    assert clock == 'mine'\n", conftest=conftest)
    assert counts(said) == {"passed": 1}, said


def test_a_session_without_marked_tests_is_left_alone(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, tests=UNMARKED)
    assert counts(said) == {"passed": 1}, said


def test_a_project_s_own_choice_of_loops_is_asked_where_a_test_is_not_marked(tmp_path: Path) -> None:
    conftest = (
        "import asyncio\n\nclass Own(asyncio.SelectorEventLoop):\n    pass\n\n"
        "def pytest_asyncio_loop_factories(config, item):\n    return {'own': Own}\n"
    )
    tests = (
        "import asyncio, pytest\n\n@pytest.mark.virtual\nasync def test_a():\n    await asyncio.sleep(3600)\n\n"
        "@pytest.mark.asyncio\nasync def test_b():\n    assert type(asyncio.get_running_loop()).__name__ == 'Own'\n"
    )
    said = run_pytest(tmp_path, tests=tests, conftest=conftest)
    assert counts(said) == {"passed": 2}, said


def test_without_pytest_asyncio_it_says_what_to_install_and_only_where_it_is_used(tmp_path: Path) -> None:
    tests = TESTS + "\ndef test_with_a_mesh(mesh_local):\n    pass\n"
    said = run_pytest(tmp_path, "-p", "no:asyncio", "-k", "not real_time", tests=tests)
    assert counts(said)["passed"] == 1, said
    assert said.count("@pytest.mark.virtual needs pytest-asyncio 1.4 or newer: pip install 'pytest-asyncio>=1.4'") >= 2
    assert "the fixture mesh_local needs pytest-asyncio 1.4 or newer" in said
    assert "Traceback" not in said
