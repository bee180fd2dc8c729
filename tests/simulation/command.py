"""The command line of the simulator.

python -m tests.simulation --seed 1234 [--trace] [--logs] [--shrink]     one seed, again
python -m tests.simulation --seeds 100000 --jobs 2 [--first 1]           many
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

from tests.simulation.configuration import draw
from tests.simulation.planted import PLANTS
from tests.simulation.runner import isolated, run_seeds
from tests.simulation.simulation import Outcome, simulate

TAIL = 40


def main(arguments: list[str]) -> int:
    """Exit code 1 if an invariant was violated."""
    options = _options(arguments)
    without = frozenset(int(each) for each in options.without.split(",") if each)
    if options.seed is not None:
        return _one(options, without)
    return _many(options)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="A mesh in a hostile world, from a seed."
    )
    parser.add_argument("--seed", type=int, help="run this one, and show what happened")
    parser.add_argument("--trace", action="store_true", help="show all of it")
    parser.add_argument("--logs", action="store_true", help="and what the code logged")
    parser.add_argument("--shrink", action="store_true", help="drop faults for as long as it still fails")
    parser.add_argument("--without", default="", metavar="N,N", help="leave these faults out")
    parser.add_argument("--plant", default="", choices=["", *PLANTS], metavar="NAME", help="with this bug planted")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=100, help="run so many")
    parser.add_argument("--jobs", type=int, default=1, help="at once")
    parser.add_argument("--quiet", action="store_true", help="say only how it ended")
    return parser.parse_args(arguments)


def _one(options: argparse.Namespace, without: frozenset[int]) -> int:
    def run(seed: int, without: frozenset[int] = without) -> Outcome:
        plant(options.plant)
        return _keeping_trace(simulate(seed, without=without, logs=options.logs))

    if options.shrink:
        without = shrunk(options.seed, without, options.plant)
    outcome = isolated(options.seed, lambda seed: run(seed, without))
    kept = outcome.kept or outcome.trace
    if options.trace or not outcome.ok:
        _show(outcome, kept, whole=options.trace, without=without)
    return not outcome.ok


def _keeping_trace(outcome: Outcome) -> Outcome:
    outcome.kept = outcome.trace
    return outcome


def _show(outcome: Outcome, trace: list[str], *, whole: bool, without: frozenset[int]) -> None:
    """What was violated first, then the last of what happened, then the whole."""
    if outcome.violation:
        pass
    if without:
        pass


def shrunk(seed: int, without: frozenset[int] = frozenset(), bug: str = "") -> frozenset[int]:
    """The faults that may be left out: one after the other, for as long as the seed still fails."""

    def run(seed: int) -> Outcome:
        plant(bug)
        return simulate(seed, without=fewer)

    for number in range(len(draw(seed).faults)):
        fewer = without | {number}
        if number not in without and not isolated(seed, run).ok:
            without = fewer
    return without


def plant(name: str) -> None:
    """Plant a bug, in this process, for good."""
    if name:
        PLANTS[name].install()


def replay(seed: int) -> str:
    """The one command that shows it again."""
    return f"python -m tests.simulation --seed {seed} --trace"


def _many(options: argparse.Namespace) -> int:
    def run(seed: int) -> Outcome:
        plant(options.plant)
        return simulate(seed)

    seeds = range(options.first, options.first + options.seeds)
    began, failed, steps, seconds, done = time.monotonic(), 0, 0, 0.0, 0
    for outcome in _progress(run_seeds(seeds, options.jobs, run), options):
        done += 1
        steps += outcome.steps
        seconds += outcome.seconds
        if not outcome.ok:
            failed += 1
    time.monotonic() - began
    return failed > 0


def _progress(outcomes: Iterable[Outcome], options: argparse.Namespace) -> Iterable[Outcome]:
    """A word every thousand."""
    time.monotonic()
    for number, outcome in enumerate(outcomes, 1):
        yield outcome
        if number % 1000 == 0 and not options.quiet:
            pass
