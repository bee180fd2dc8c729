"""`make bench`: what is promised about speed, measured beside what it is compared with.

    python -m tests.benchmarks [--quick] [--only NAME …] [--json FILE] [--seed N]

Each `bench_<name>.py` has `async def bench(ground) -> list[Row]`; what it measures, and against what, stands in its
docstring. Exit code 1 when a floor is missed, 2 when a bench broke.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

import uvloop

from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Report
from tests.benchmarks.rows import Skipped

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Every bench there is."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


async def run(name: str, report: Report, *, quick: bool, seed: int) -> None:
    """One bench on a ground of its own."""
    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="mesh-bench-", ignore_cleanup_errors=True) as folder:
            async with Ground(Path(folder), quick=quick, seed=seed) as ground:
                rows = await module.bench(ground)
    except Skipped as reason:
        report.skipped(name, str(reason))
    except Exception:  # noqa: BLE001 - told in full, and the exit code says so; the other benches still run
        report.broke(name, traceback.format_exc())
    else:
        report.measured(name, rows, time.perf_counter() - started)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description="Speed, as ratios against raw nats-py.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under a minute in all")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names(), help=f"only these: {', '.join(names())}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: .mesh/bench.json)")
    parser.add_argument("--seed", type=int, default=None, help="the order of the rounds (default: by chance)")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    report = Report(quick=options.quick, seed=seed)
    for name in options.only or names():
        uvloop.run(run(name, report, quick=options.quick, seed=seed))
    return report.finish(options.json or Path(".mesh") / "bench.json")


if __name__ == "__main__":
    sys.exit(main())
