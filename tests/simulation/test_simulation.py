"""A thousand schedules on each run of the tests: the seeds are fixed, so that a failure is the change's and nobody's luck.

A failing seed prints the command that shows it again; see README.md beside this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 1000
AT_ONCE = 125

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def simulator(*arguments: str, code: str = "", hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own, where nothing of pytest's is."""
    command = [sys.executable, *(("-c", code) if code else ("-m", "tests.simulation")), *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_whatever_the_seed_every_invariant_holds(first: int) -> None:
    done = simulator("--first", str(first), "--seeds", str(AT_ONCE))
    assert done.returncode == 0, done.stdout + done.stderr


ALONE = "import sys; from tests.simulation.command import main; main(sys.argv[1:])"
AFTER_OTHERS = """
import sys
from tests.simulation.simulation import simulate
kept = [bytes(number) for number in range(50_000)]
found = [simulate(int(seed)) for seed in sys.argv[1:]]
sys.stdout.write("\\n".join(f"digest {each.digest}, {each.steps} steps" for each in found))
sys.stdout.flush()
import os; os._exit(0)
"""


def digests(text: str) -> list[str]:
    """What tells two runs apart."""
    return [line.split(" steps")[0] for line in text.splitlines() if line.startswith("digest")]


def test_the_same_seed_is_the_same_run_in_any_process_and_after_anything() -> None:
    seeds = ("148", "661", "77", "205")
    together = simulator(*seeds, code=AFTER_OTHERS, hash_seed="7")
    alone = [simulator("--seed", seed, code=ALONE).stdout for seed in seeds]
    assert digests(together.stdout) == [digest for text in alone for digest in digests(text)], together.stderr
    assert len(set(digests(together.stdout))) == len(seeds)


def test_every_planted_bug_is_found_by_its_seeds() -> None:
    done = simulator("--planted")
    assert done.returncode == 0, done.stdout + done.stderr
