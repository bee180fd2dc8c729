"""`make bench` as a program: what it runs, what it says of benches that go wrong, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as command

ROOT = Path(__file__).parents[2]
_MAIN = """
import sys
from tests.benchmarks.__main__ import main
names, *options = sys.argv[1:]
sys.exit(main(options, {name: name for name in names.split(",")}))
"""

TINY = '''
"""Requests against requests: as small as a bench can be, and with another process, too."""
import nats
from tests.benchmarks.ground import there
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Target

async def bench(ground):
    side = await ground.other("raw")
    connection = await nats.connect(ground.url)
    ask = lambda: connection.request(SUBJECT, b"x", timeout=10.0)
    one = await ground.take_turns(2, a=lambda: one_by_one(ground, side, ask, 3), b=lambda: one_by_one(ground, side, ask, 3))
    many = await ground.take_turns(2, a=lambda: at_once(ground, side, ask, 2), b=lambda: at_once(ground, side, ask, 2))
    await connection.close()
    return [
        ratio_row(Target(name="held", floor=1e9), one["a"], one["b"]),
        ratio_row(Target(name="missed", floor=1e9, better="higher"), many["a"], many["b"]),
    ]
'''
BENCHES = {
    "tiny": TINY,
    "lacking": "from tests.benchmarks.rows import Skipped\nasync def bench(ground): raise Skipped('pip install it')",
    "raising": "async def bench(ground): raise LookupError('no such thing')",
    "vanishing": "import os\nasync def bench(ground): os._exit(0)",
    "unready": "async def bench(ground): await ground.other('no_such_module')",
    "unimportable": "import no_such_module",
    "waiting": "import asyncio\nasync def bench(ground): await asyncio.Event().wait()",
    "spinning": "async def bench(ground):\n    while True: pass",
}


def make_bench(folder: Path, names: str, *options: str) -> subprocess.CompletedProcess[str]:
    for name, text in BENCHES.items():
        (folder / f"{name}.py").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(folder)}
    program = [sys.executable, "-c", _MAIN, names, "--quick", "--json", str(folder / "bench.json"), *options]
    return subprocess.run(program, cwd=ROOT, env=env, capture_output=True, text=True, timeout=50, check=False)


def outcomes(folder: Path) -> dict[str, Any]:
    return {each["bench"]: each for each in json.loads((folder / "bench.json").read_text())["benches"]}


@pytest.mark.server
def test_a_bench_is_run_from_end_to_end(tmp_path: Path) -> None:
    done = make_bench(tmp_path, "tiny,lacking", "--seed", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    held, missed = outcomes(tmp_path)["tiny"]["rows"]
    assert (held["passed"], missed["passed"], missed["rounds"]) == (True, False, 2)
    for side in (held["ours"], held["base"], missed["ours"], missed["base"]):
        assert all(side[place] > 0 for place in ("figure", "here", "there", "server"))
    assert "1 of 2 floors hold" in done.stdout
    assert "lacking  skipped: pip install it" in done.stdout


@pytest.mark.server
def test_what_breaks_is_told_and_the_others_still_run(tmp_path: Path) -> None:
    done = make_bench(tmp_path, "raising,vanishing,unready,unimportable,lacking")
    assert done.returncode == 2, done.stdout + done.stderr
    broke = {name: each["broke"] for name, each in outcomes(tmp_path).items()}
    assert "no such thing" in broke["raising"]
    assert "ended without a word" in broke["vanishing"]
    assert "no_such_module did not get ready" in broke["unready"]
    assert "No module named 'no_such_module'" in broke["unimportable"]
    assert broke["lacking"] == ""


@pytest.mark.server
def test_a_bench_that_hangs_is_stopped_and_broken(tmp_path: Path) -> None:
    done = make_bench(tmp_path, "waiting,spinning", "--limit", "1")
    assert done.returncode == 2, done.stdout + done.stderr
    broke = {name: each["broke"] for name, each in outcomes(tmp_path).items()}
    assert "it took longer than 1 s and was stopped" in broke["waiting"]
    assert "it hung and was killed" in broke["spinning"]
    assert "spinning.py" in done.stderr, "the place where it hangs"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "nonsense"], "invalid choice: 'nonsense' (choose from 'tiny'"),
        (["--json", "no/such/folder/bench.json"], "there is no folder no/such/folder"),
        (["--json", "tests"], "that is a folder"),
        (["--compare", "no-such-file.json"], "no-such-file.json: No such file"),
        (["--compare", "README.md"], "README.md is not a file that make bench wrote"),
    ],
)
def test_a_mistake_in_the_options_is_told_in_a_line(tmp_path: Path, options: list[str], message: str) -> None:
    done = make_bench(tmp_path, "tiny", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bench.json").exists()


def test_without_proc_it_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PROC", Path("/no/such/place"))
    with pytest.raises(SystemExit) as ended:
        command.main([], {})
    assert ended.value.code == 2
    assert "this needs Linux" in capsys.readouterr().err


def test_every_bench_is_found_and_those_beside_others_come_last() -> None:
    names = list(command.benches())
    assert "ask" in names
    beside = [name.startswith("beside") for name in names]
    assert beside == sorted(beside)
