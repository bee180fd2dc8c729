"""`Ordeal`: what a seed draws for hedges, degraded answers, tools, outputs, tokens, kill switches on jobs and watches that fall
behind. Most seeds draw none of it.

As `strain.py`, which has what came before: each has a `Random` of its own, so that nothing else of a seed changes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.faults import Fault
from tests.simulation.questions import How, Question

SHARE = 0.06
"""Of all seeds, how many have each of them."""
TIMEOUT = 2.0
SWITCHES = (
    ("step-kind call", ("both", "call", "call")), ("step-kind local", ("once", "local", "local")), ("step-kind child", ("child", "child")),
    ("workflow order", ("call", "local", "child")), ("workflow part", ("child", "child")),
)  # fmt: skip
"""What is killed, and the steps that are tried then."""
OUTAGE = 11.0
"""Seconds for which there are faults where watches fall behind: sweeping takes its time."""
BUCKETS = ("leases", "registry")
AGENTS = {
    "echo": ("echo",),
    "chain": ("source", "middle", "front"),
    "till": ("till",),
    "scribe": ("scribe",),
    "clerk": ("clerk",),
}
"""Which agents the guests of each kind are."""


@dataclass
class Ordeal:
    """See the module. `guests` are the processes of each kind of guests, `steps` what the first order does besides."""

    guests: dict[str, tuple[str, ...]]
    faults: list[Fault]
    questions: list[Question]
    steps: list[dict[str, Any]]
    ordered: float = 0.0
    """When the first order is handed in."""
    chaos: float = 0.0
    """Seconds for which there must be faults at least."""


Draw = Callable[[Random, float, Sequence[str], Ordeal], None]


def ordeal(seed: int, chaos: float, names: Sequence[str], ordered: float) -> Ordeal:
    """What this seed has of it. `chaos` are the seconds for which there are faults, `names` the processes, `ordered` when the
    first order is handed in."""
    made = Ordeal({}, [], [], [], ordered)
    for draw in (_hedges, _chain, _tools, _outputs, _tokens, _switches, _watches):
        random = Random(f"ordeal {seed} {draw.__name__}")
        if random.random() < SHARE:
            draw(random, chaos, names, made)
    return made


def _some(random: Random, names: Sequence[str], least: int = 1) -> tuple[str, ...]:
    """Some of the processes, in their order."""
    count = random.randint(min(least, len(names)), len(names))
    chosen = set(random.sample(list(names), count))
    return tuple(each for each in names if each in chosen)


def _asked(how: How | Sequence[How], at: float, every: float, count: int, word: str) -> list[Question]:
    hows = [how] if isinstance(how, str) else how
    return [
        Question(at + every * number, hows[number % len(hows)], 0.0, TIMEOUT, f"{word}-{number}")
        for number in range(count)
    ]


def _hedges(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """Many quick calls, and then one of those who answer is slow."""
    made.guests["echo"] = _some(random, names, 2)
    at = random.random() * 0.3 * chaos
    how: How = random.choice(("hedge", "hedge", "hedge-call"))
    every = random.choice((0.02, 0.04))
    made.questions += _asked(how, at, every, 48, "hedge")
    made.questions += _asked("hedge-pay", at + 0.1, 0.2, 2, "twice")
    slow = at + every * random.randint(8, 20)
    made.faults += [Fault(slow, "ail", each, chaos, 0, "echo") for each in made.guests["echo"][:1]]


def _chain(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """Answers that are made of fallbacks, over several hops and in jobs."""
    made.guests["chain"] = _some(random, names)
    at = random.random() * 0.5 * chaos
    hows: tuple[How, ...] = ("front", "front-dry", "front-auction", "front-dry")
    made.questions += _asked(hows, at, random.choice((0.02, 0.2)), 6, "front")
    kinds = random.sample(("front", "instead", "kin"), 2)
    made.steps += [{"do": each, "key": f"{each}-dry", "fails": random.random() < 0.8} for each in kinds]


def _tools(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """A tool that fails for a while, or hangs, wherever it is called from."""
    made.guests["till"] = _some(random, names)
    at, every = random.random() * 0.3 * chaos, random.choice((0.05, 0.1))
    made.questions += _asked("till", at, every, 30, "till")
    way, seconds = random.choice(("bank fails", "bank hangs")), random.choice((0.3, 0.6))
    made.faults += [Fault(at, "ail", each, seconds, 0, way) for each in made.guests["till"]]


def _outputs(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """Outputs that do not fit their contract, for a while."""
    made.guests["scribe"] = _some(random, names)
    at = random.random() * 0.3 * chaos
    made.questions += _asked("scribe", at, 0.05, 12, "scribe")
    made.faults += [Fault(at, "ail", each, random.choice((0.5, chaos)), 0, "scribe") for each in made.guests["scribe"]]


def _tokens(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """A small limit of tokens, and more calls than it is for."""
    made.guests["clerk"] = _some(random, names, 2)
    made.faults.append(Fault(0.0, "ration", "clerk", number=random.choice((120, 300)), way=random.choice(("6", "12"))))
    made.questions += _asked("clerk", 0.3, random.choice((0.04, 0.08)), 50, "clerk")


def _switches(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """What jobs are made of is killed, and allowed again; at times while somebody is looked for who does it."""
    what, kinds = random.choice(SWITCHES)
    at, way = max(0.0, made.ordered + random.uniform(-0.2, 1.4)), random.choice(("", "", "now"))
    made.faults.append(Fault(at, "switch", what, random.choice((2.0, 5.0)), 0, way if "workflow" in what else ""))
    mode = random.choice(("standing", "broadcast"))
    if mode == "broadcast":  # somebody to do it is looked for slowly
        way = random.choice(("0.1", "0.3"))
        made.faults += [Fault(max(0.0, at - 1.0), "slow", each, 3.0, 0, way) for each in names]
    for number, each in enumerate(kinds):
        made.steps.append({"do": each, "key": f"{each}-late{number}", "takes": 0.02, "mode": mode})


def _watches(random: Random, chaos: float, names: Sequence[str], made: Ordeal) -> None:
    """Somebody starts afresh, and here one bucket is heard of late, there another."""
    made.chaos = OUTAGE
    at, who = random.random(), random.choice(list(names))
    made.faults.append(Fault(at, "crash", who, 0.3))
    for name in (*names, "client"):
        bucket = BUCKETS[name == who] if random.random() < 0.8 else random.choice(BUCKETS)
        if random.random() < 0.8:
            made.faults.append(Fault(max(0.0, at - 0.1), "deaf", name, random.choice((5.0, 7.0, 9.0)), 0, bucket))
