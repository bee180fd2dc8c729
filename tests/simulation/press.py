"""`Press`: what a seed draws for jobs to wait for one another: one tenant publishes many at once, another one a few behind them, and
there are hardly any places. Most seeds draw none of it. As `strain.py`, with a `Random` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation.faults import Fault
from tests.simulation.orders import Order, a_step

SHARE = 0.08
"""Of all seeds, how many are pressed."""
PLACES = 64
"""Jobs that a process drives at once, unless a seed has it otherwise."""
QUICK = ("local", "once", "call", "pay")
"""Steps that wait for nobody: with one place, who waits for a person would be waited for by all."""


@dataclass(frozen=True)
class Press:
    """See the module."""

    places: int = PLACES
    orders: tuple[Order, ...] = ()
    faults: tuple[Fault, ...] = ()


def press(seed: int, chaos: float, number: int) -> Press:
    """What this seed has of it. `chaos` are the seconds for which there are faults, `number` is that of the first order."""
    random = Random(f"queues {seed}")
    if random.random() >= SHARE:
        return Press()
    at = random.random() * chaos * 0.5
    flood = [("red", at)] * random.choice((6, 12, 20))
    few = [(random.choice(("blue", "blue", "green")), at + 0.2 * behind) for behind in range(random.choice((1, 3, 5)))]
    orders = tuple(_order(random, number + place, *each) for place, each in enumerate((*flood, *few)))
    faults: tuple[Fault, ...] = ()
    if random.random() < 0.3:
        faults = (Fault(0.0, "share", "red", chaos, random.choice((1, 2)), random.choice(("", "1", "3"))),)
    return Press(random.choice((1, 2, 4)), orders, faults)


def _order(random: Random, number: int, tenant: str, at: float) -> Order:
    plan = tuple(a_step(random, random.choice(QUICK), place) for place in range(random.choice((1, 1, 2))))
    return Order(at, number, tenant, plan, f"order-{number}", published=random.random() < 0.9)
