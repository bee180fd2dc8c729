"""Loading what a manifest names, and saying what to do when that fails. Each in a Python of its own: loading changes it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

AGENT = """
from mesh import agent
@agent
async def {name}(text: str) -> str:
    return text
"""
PROGRAM = """
import json, sys
from pathlib import Path
from mesh.host.loading import CannotLoad, load, loaded_below
folder = Path(sys.argv[2])
try:
    thing = load(sys.argv[1], folder)
    print(json.dumps({"name": thing.definition.name, "files": [Path(f).name for f in loaded_below(folder)]}))
except CannotLoad as error:
    print(json.dumps({"error": str(error)}))
"""


def loading(use: str, folder: Path) -> dict[str, object]:
    command = [sys.executable, "-P", "-c", PROGRAM, use, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    return dict(json.loads(ran.stdout))


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_an_agent_is_loaded_by_import_path_from_the_manifests_folder(tmp_path: Path) -> None:
    write(tmp_path, "shop/agents.py", "from shop.words import WORD\n" + AGENT.format(name="watch_prices"))
    write(tmp_path, "shop/words.py", "WORD = 1\n")
    loaded = loading("shop.agents:watch_prices", tmp_path)
    assert loaded == {"name": "watch-prices", "files": ["agents.py", "words.py"]}


def test_a_file_with_one_agent_needs_no_name(tmp_path: Path) -> None:
    write(tmp_path, "sub/echo.py", "from beside import WORD\n" + AGENT.format(name="echo"))
    write(tmp_path, "sub/beside.py", "WORD = 1\n")
    assert loading("sub/echo.py", tmp_path)["name"] == "echo"


def test_a_file_that_is_called_like_a_module_of_python_is_still_the_file(tmp_path: Path) -> None:
    write(tmp_path, "json.py", AGENT.format(name="echo"))
    assert loading("json.py:echo", tmp_path)["name"] == "echo"


def test_agents_that_a_file_only_imports_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "other.py", AGENT.format(name="other"))
    write(tmp_path, "echo.py", "from other import other\n" + AGENT.format(name="echo"))
    assert loading("echo.py", tmp_path)["name"] == "echo"


def test_the_meshs_own_agents_take_nothing_from_the_folder(tmp_path: Path) -> None:
    for name in ("unidiff", "bandit", "radon", "vulture", "tenacity", "pydantic"):
        write(tmp_path, f"{name}.py", f"raise SystemExit('{name} of a stranger was loaded')")
    loaded = loading("mesh.agents.review.specialists:StyleReviewer", tmp_path)
    assert loaded == {"name": "style-reviewer", "files": []}


@pytest.mark.parametrize(
    ("use", "text", "says"),
    [
        ("none.py", "", "there is no file"),
        ("nowhere.agents:X", "", "there is no module 'nowhere', neither in the manifest's folder nor installed"),
        ("code:missing", AGENT.format(name="echo"), "there is no 'missing' in code, which has echo"),
        ("code.py", "x = 1", "has no agent: decorate a function with @agent"),
        ("code.py", AGENT.format(name="a") + AGENT.format(name="b"), "has several agents: name one, such as code.py:a (a, b)"),
        ("code.py", "import pydantic_ai_missing", "needs the module 'pydantic_ai_missing', which is not installed: pip install"),
        ("code.py", "import sys\nsys.modules['radon'] = None\nimport radon", "pip install 'natsmesh[review]'"),
        ("code:x", "def f(:\n", "fails while it is loaded: SyntaxError"),
        ("code.py", "1 / 0", "ZeroDivisionError: division by zero"),
        ("code.py", "from mesh import agent\n@agent\nasync def a(x): return x", "fails while it is loaded: TypeError"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_says_what_to_do(use: str, text: str, says: str, tmp_path: Path) -> None:
    if text:
        write(tmp_path, "code.py", text)
    assert says in str(loading(use, tmp_path)["error"])
