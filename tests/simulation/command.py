"""The command line of the simulator.

python -m tests.simulation --seed 1234 [--trace] [--logs] [--shrink]     one seed, again
python -m tests.simulation --seeds 100000 --jobs 2 [--first 1]           many
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial

from tests.simulation.configuration import draw
from tests.simulation.planted import PLANTS
from tests.simulation.runner import isolated, run_seeds
from tests.simulation.simulation import Outcome, simulate

TAIL = 40
"""Lines of the trace that are shown without `--trace`."""


def main(arguments: list[str]) -> int:
    """Exit code 1 if an invariant was violated."""
    options = _options(arguments)
    without = frozenset(int(each) for each in options.without.split(",") if each)
    if options.planted:
        return _planted()
    return _many(options) if options.seed is None else _one(options, without)


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
    parser.add_argument("--planted", action="store_true", help="show that every planted bug is found by its seeds")
    parser.add_argument("--first", type=int, default=1, help="begin with this one")
    parser.add_argument("--seeds", type=int, default=100, help="run so many")
    parser.add_argument("--jobs", type=int, default=1, help="so many at once")
    parser.add_argument("--until", type=int, default=0, metavar="N", help="stop once so many have failed")
    return parser.parse_args(arguments)


def say(*lines: str) -> None:
    """To whoever stands at the terminal, at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def replay(seed: int, bug: str = "") -> str:
    """The one command that shows it again."""
    return f"python -m tests.simulation --seed {seed} --trace" + (f" --plant {bug}" if bug else "")


def last_line(outcome: Outcome) -> str:
    """What was violated, in one line."""
    return outcome.violation.strip().splitlines()[-1] if outcome.violation else "everything held"


def plant(name: str) -> None:
    """Plant a bug, in this process, for good."""
    if name:
        PLANTS[name].install()


# -- one seed


def _one(options: argparse.Namespace, without: frozenset[int]) -> int:
    if options.shrink:
        without = shrunk(options.seed, without, options.plant)
        say(f"faults that do not matter: {','.join(map(str, sorted(without))) or 'none'}", "")

    def run(seed: int) -> Outcome:
        plant(options.plant)
        return simulate(seed, without=without, logs=options.logs, shown=True)

    outcome = isolated(options.seed, run)
    if options.trace or not outcome.ok:
        _show(outcome, whole=options.trace, without=without)
    say(f"seed {options.seed}: {last_line(outcome)}")
    say(f"digest {outcome.digest}, {outcome.steps} steps, {outcome.seconds:.1f} virtual seconds")
    return not outcome.ok


def _show(outcome: Outcome, *, whole: bool, without: frozenset[int]) -> None:
    """What was violated first, then what was drawn, then the last of what happened, or all of it."""
    if outcome.violation:
        say(f"VIOLATED: {outcome.violation.strip()}", "", "the last of what happened:", *outcome.trace[-TAIL:], "")
    say(str(draw(outcome.seed)))
    if without:
        say(f"left out: faults {', '.join(map(str, sorted(without)))}")
    if whole:
        say("", *outcome.trace)
    say("")


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


# -- planted bugs


def _planted() -> int:
    """Exit code 1 if one is not found."""
    missed = 0
    for each in PLANTS.values():

        def run(seed: int, name: str = each.name) -> Outcome:
            plant(name)
            return simulate(seed)

        found = next((outcome for outcome in map(partial(isolated, run=run), each.seeds) if not outcome.ok), None)
        missed += found is None
        say(f"{each.name}: " + ("NOT FOUND" if found is None else f"found by seed {found.seed}: {last_line(found)}"))
    return missed > 0


# -- many


def _many(options: argparse.Namespace) -> int:
    def run(seed: int) -> Outcome:
        plant(options.plant)
        return simulate(seed)

    seeds = range(options.first, options.first + options.seeds)
    began, done, failed, steps, seconds = time.monotonic(), 0, 0, 0, 0.0
    for outcome in _told(run_seeds(seeds, options.jobs, run)):
        done += 1
        steps += outcome.steps
        seconds += outcome.seconds
        if not outcome.ok:
            failed += 1
            say(f"seed {outcome.seed}: {last_line(outcome)}", f"    {replay(outcome.seed, options.plant)}")
            if failed == options.until:
                break
    took = time.monotonic() - began
    say(
        f"{done} schedules in {took:.1f} s, {done / took:.1f} a second; {failed} failed; "
        f"{steps / took:,.0f} steps a second; {seconds / took:,.0f} times as fast as time"
    )
    return failed > 0


def _told(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """A word every thousand."""
    began = time.monotonic()
    for number, outcome in enumerate(outcomes, 1):
        yield outcome
        if number % 1000 == 0:
            say(f"{number} schedules, {number / (time.monotonic() - began):.1f} a second")
