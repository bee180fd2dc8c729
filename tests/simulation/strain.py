"""`Strain`: what a seed draws for breakers, retry budgets, mailboxes and policies to do: an agent that fails for a while, a kill and
an allow in mid-run, a small limit, a flood of calls. Most seeds draw none of it.

It has a `Random` of its own, so that nothing else of a seed changes by it; its faults come behind all others, and can be left
out as they can.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation.faults import Fault
from tests.simulation.questions import Question

SHARE = 0.3
"""Of all seeds, how many are strained."""
ORPHANS = 0.02
"""In how many a call finds nobody, and whoever comes dies."""
ROOM = 256
"""Messages that may wait for a worker, unless a seed has it otherwise."""
SWITCHES = (
    "agent worker", "capability work.compute", "tenant red", "tenant default", "instance worker.*", "step-kind call", "workflow order",
)  # fmt: skip


@dataclass(frozen=True)
class Strain:
    """See the module. `relays` are the processes that host an agent which asks a worker on behalf of others."""

    room: int = ROOM
    faults: tuple[Fault, ...] = ()
    questions: tuple[Question, ...] = ()
    relays: tuple[str, ...] = ()


def strain(seed: int, chaos: float, names: tuple[str, ...]) -> Strain:
    """What this seed has of it. `chaos` are the seconds for which there are faults, `names` the processes."""
    random = Random(f"strain {seed}")
    if random.random() >= SHARE:
        return Strain()
    faults: list[Fault] = []
    questions: list[Question] = []
    began = random.random() * chaos * 0.6
    if random.random() < 0.6:
        faults.extend(_sickness(random, began, chaos, names))
    if random.random() < 0.4:
        at = max(0.0, began + random.choice((-0.3, 0.02, 0.1)))
        way, seconds = random.choice(("", "", "now")), random.choice((0.3, 1.0, 3.0))
        faults.append(Fault(at, "switch", random.choice(SWITCHES), seconds, 0, way))
    if random.random() < 0.3:
        faults.append(Fault(0.0, "limit", "worker", number=random.choice((60, 300)), way=random.choice(("3", "6"))))
    if random.random() < 0.3:
        faults.append(
            Fault(0.0, "share", random.choice(("default", "red")), chaos, 1, random.choice(("", "1", "3")))
        )  # fmt: skip
    relays = tuple(name for name in names if random.random() < 0.5) if random.random() < 0.3 else ()
    if relays:
        questions.extend(_asked(random, "relay", began, 3))
    if random.random() < 0.8:
        questions.extend(_flood(random, began))
    return Strain(random.choice((ROOM, ROOM, 2, 6)), tuple(faults), tuple(questions), relays)


def orphans(seed: int, chaos: float, payers: tuple[str, ...]) -> Strain:
    """In a few seeds, calls for what may be done at most once are made while nobody is there who does it, and whoever comes
    back dies of it: what is known of the effect is known from the winner alone."""
    random = Random(f"orphans {seed}")
    if random.random() >= ORPHANS:
        return Strain()
    at = random.random() * chaos * 0.5
    gone = [Fault(at, "crash", name, 1.0) for name in payers]
    fatal = [
        Fault(at + 0.1, "crash-on-effect", name, 0.3, 1, random.choice(("after", "soon"))) for name in payers
    ]  # fmt: skip
    calls = [Question(at + 0.2 + 0.3 * number, "pay", 0.0, 5.0, f"orphan-{number}") for number in range(3)]
    return Strain(faults=(*gone, *fatal), questions=tuple(calls))


def _sickness(random: Random, began: float, chaos: float, names: tuple[str, ...]) -> list[Fault]:
    """One of them fails, or all do at once."""
    way, seconds = random.choice(("fails", "fails", "hangs")), random.choice((0.5, 2.0, chaos))
    sick = names if random.random() < 0.5 else (random.choice(names),)
    return [Fault(max(0.0, began - 0.1), "sick", name, seconds, 0, way) for name in sick]


def _flood(random: Random, began: float) -> list[Question]:
    """Many calls in one moment, a few behind them, and at times as many again about when open breakers let somebody through."""
    crowd = _asked(random, "ask", began, random.choice((6, 12, 24)))
    after = [
        Question(began + 0.3 * number, random.choice(("ask", "call")), 0.0, 2.0, f"after-{number}")
        for number in range(1, 6)
    ]
    if random.random() < 0.4:
        later = began + random.uniform(1.3, 2.0)
        after += [Question(later, "ask", 0.05, 2.0, f"again-{number}") for number in range(8)]
    return [*crowd, *after]


def _asked(random: Random, how: str, at: float, count: int) -> list[Question]:
    takes, timeout = random.choice((0.0, 0.05, 0.4)), random.choice((0.5, 2.0))
    tenant = random.choice(("", "red"))
    return [
        Question(at, how, takes, timeout, f"{how}-many-{number}", tenant)  # type: ignore[arg-type]
        for number in range(count)
    ]
