"""`make bench`: what is promised about speed, measured beside what it is compared with.

    python -m tests.benchmarks [--quick] [--only NAME …] [-v] [--json FILE] [--compare FILE] [--seed N]
                               [--limit SECONDS]

Each `bench_<name>.py` has `async def bench(ground) -> list[Row]`; what it measures, and against what, stands in its
docstring. Exit code 0: every floor holds; 1: one is missed; 2: a bench broke, or nothing could be measured; 130: stopped
by Ctrl-C, what was measured until then is kept. The JSON file is described in `results.py`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

import mesh.client.mesh
import mesh.transport.nats.bus  # noqa: F401 - here, before the benches fork: none of them imports it again
from tests.benchmarks import machine
from tests.benchmarks.report import PIPED_WIDTH, Report
from tests.benchmarks.results import Results
from tests.benchmarks.trial import attempt

FOLDER = Path(__file__).parent
DEFAULT = Path(".mesh") / "bench.json"
PROC = Path("/proc/self/task")
LIMITS = {True: 45.0, False: 180.0}
"""Seconds after which a bench counts as hung, in quick rounds and in full ones."""
LENGTHY = ("job_tenants", "overload", "tenants")
"""Benches of queues, which need time to build up: part of a quick run only where they are named."""


def benches() -> dict[str, str]:
    """Every bench there is, by name, and its module; those beside others last."""
    names = [path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py")]
    return {name: f"tests.benchmarks.bench_{name}" for name in sorted(names, key=lambda name: ("beside" in name, name))}


def main(arguments: Sequence[str] | None = None, known: Mapping[str, str] | None = None) -> int:
    """Run what was asked for."""
    known = benches() if known is None else known
    options = _options(arguments, known)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    began = time.perf_counter()
    results = Results(
        quick=options.quick, seed=random.randrange(2**32) if options.seed is None else options.seed,
        at=datetime.now(UTC).isoformat(timespec="seconds"), machine=machine.facts(), noise=machine.noise(),
    )  # fmt: skip
    report = Report(console, results, verbose=options.verbose, before=options.compare)
    report.opening()
    limit = options.limit or LIMITS[options.quick]
    stopped = False
    try:
        for name in options.only or (each for each in known if not (options.quick and each in LENGTHY)):
            report.begins(name)
            results.benches.append(attempt(name, known[name], quick=options.quick, seed=results.seed, limit=limit))
            report.ended(results.benches[-1])
    except KeyboardInterrupt:
        stopped = True
    results.seconds = time.perf_counter() - began
    results.write(options.json)
    report.closing(str(options.json))
    return 130 if stopped else results.exit_code


def _options(arguments: Sequence[str] | None, known: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Speed, as ratios against raw nats-py.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"fewer and shorter rounds, and not {', '.join(LENGTHY)}: under a minute in all",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=known, help=f"only these: {', '.join(known)}")
    parser.add_argument("-v", "--verbose", action="store_true", help="remarks and processor times below every row")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where the figures go (default: {DEFAULT})")
    parser.add_argument("--compare", type=_earlier, metavar="FILE", help="show the change against an earlier JSON file")
    parser.add_argument("--seed", type=int, help="the order of the rounds (default: by chance)")
    parser.add_argument(
        "--limit", type=float, metavar="SECONDS", help="a bench that takes longer is stopped, and broken"
    )
    options = parser.parse_args(arguments)
    if not PROC.exists():
        parser.error("this needs Linux: processor times are read from /proc")
    options.json = _writable(parser, options.json)
    return options


def _writable(parser: argparse.ArgumentParser, path: Path | None) -> Path:
    if path is None:
        DEFAULT.parent.mkdir(exist_ok=True)
        return DEFAULT
    if not path.parent.is_dir():
        parser.error(f"--json {path}: there is no folder {path.parent}")
    if path.is_dir():
        parser.error(f"--json {path}: that is a folder, name a file in it")
    return path


def _earlier(text: str) -> Results:
    try:
        return Results.read(Path(text))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise argparse.ArgumentTypeError(f"{text} is not a file that make bench wrote: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
