"""The command line of the simulator."""

from __future__ import annotations

import argparse
import time

from tests.simulation.configuration import draw
from tests.simulation.simulation import simulate


def main(arguments: list[str]) -> int:
    """Exit code 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--logs", action="store_true")
    parser.add_argument("--without", default="")
    options = parser.parse_args(arguments)
    without = frozenset(int(each) for each in options.without.split(",") if each)
    if options.seed is not None:
        outcome = simulate(options.seed, without=without, logs=options.logs)
        if options.trace or not outcome.ok:
            print(draw(options.seed))
            print("\n".join(outcome.trace if options.trace else outcome.trace[-40:]))
        print(outcome.violation or "everything held", outcome.digest, outcome.steps, f"{outcome.seconds:.1f}s")
        return not outcome.ok
    began, failed = time.monotonic(), 0
    for seed in range(options.first, options.first + options.seeds):
        outcome = simulate(seed, without=without)
        if not outcome.ok:
            failed += 1
            print(f"seed {seed}: {outcome.violation.strip().splitlines()[-1]}", flush=True)
    took = time.monotonic() - began
    print(f"{options.seeds} seeds, {failed} failed, {options.seeds / took:.1f} a second")
    return failed > 0
