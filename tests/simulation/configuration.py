"""`Configuration`: what one seed draws before anything runs: how large the world is, which faults there are, what it is given to
do. Swarm testing: each seed switches some kinds of trouble off altogether, for what is always there hides what is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.faults import Fault, Kind
from tests.simulation.network import Weather
from tests.simulation.ordeal import AGENTS, ordeal
from tests.simulation.orders import Order, orders, plan_words
from tests.simulation.press import PLACES, press
from tests.simulation.questions import Question, questions
from tests.simulation.storage import Quirks
from tests.simulation.strain import ROOM, orphans, strain

KINDS: tuple[tuple[Kind, int], ...] = (
    ("crash", 4), ("crash-on-append", 6), ("crash-on-effect", 4), ("crash-on-word", 5), ("cut", 4), ("partition", 4), ("slow", 2), ("stop", 3),
    ("server", 3), ("leaderless", 2), ("clock", 2), ("storm", 2), ("disk", 3), ("drain", 2),
)  # fmt: skip
"""What may happen, and how often beside the others."""


@dataclass
class Configuration:
    """See the module."""

    seed: int
    processes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By name: what runs there, of `flows`, `work`, `pay`, `relay`."""
    weather: Weather = field(default_factory=Weather)
    quirks: Quirks = field(default_factory=Quirks)
    skews: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    orders: tuple[Order, ...] = ()
    questions: tuple[Question, ...] = ()
    chaos: float = 10.0
    """Seconds for which there are faults."""
    snapshot_every: int = 500
    """Events of a job between two snapshots."""
    room: int = ROOM
    """So many messages may wait for a worker."""
    places: int = PLACES
    """So many jobs a process drives at once."""
    guests: frozenset[str] = frozenset()
    """The kinds of guests that are there: see `guests.py`."""
    looks_back: bool = False
    """Whether to wait in the end until nobody holds on to anything: that takes time."""

    def __str__(self) -> str:
        lines = [
            f"processes: {', '.join(f'{name} ({chr(32).join(does)})' for name, does in self.processes.items())}",
            f"network: {self.weather}",
            f"server: {self.quirks}",
            f"room for {self.room} in a mailbox, places for {self.places} jobs",
            f"clocks: {', '.join(f'{name} {skew:+.1f}s' for name, skew in self.skews.items() if skew) or 'true'}",
            *(f"job {each.number} (+{each.at:.2f}s, {each.tenant}): {plan_words(each)}" for each in self.orders),
            *map(str, self.questions),
            *(f"fault {number}: {fault}" for number, fault in enumerate(self.faults)),
        ]
        return "\n".join(lines)


def draw(seed: int) -> Configuration:
    """What this seed stands for."""
    random = Random(f"configuration {seed}")
    made = Configuration(seed)
    made.chaos = random.choice((2.0, 4.0, 8.0))
    made.processes = _processes(random)
    made.weather = _weather(random)
    made.quirks = _quirks(random)
    names = [*made.processes, "client"]
    if random.random() < 0.4:
        made.skews = {name: random.choice((-3600.0, -5.0, -0.5, 0.0, 0.7, 5.0, 86400.0)) for name in names}
    made.offsets = {name: random.choice((0.0, 1000.0, 123456.789)) for name in names}
    made.orders = orders(random, made.chaos)
    made.faults = _faults(random, made)
    made.questions = questions(seed, made.chaos)
    made.looks_back = seed % 3 == 0
    made.snapshot_every = Random(f"snapshots {seed}").choice((500, 500, 4, 9))
    _strain(made)
    _ordeal(made)
    _press(made)
    return made


def _strain(made: Configuration) -> None:
    """What is there besides: nothing, of most seeds. Numbers of the faults of before stay what they were."""
    payers = tuple(name for name, does in made.processes.items() if "pay" in does)
    drawn, orphaned = strain(made.seed, made.chaos, tuple(made.processes)), orphans(made.seed, made.chaos, payers)
    made.room = drawn.room
    made.faults += drawn.faults + orphaned.faults
    made.questions += drawn.questions + orphaned.questions
    for name in drawn.relays:
        made.processes[name] = (*made.processes[name], "relay")


def _ordeal(made: Configuration) -> None:
    """As `_strain`; the first order does what is drawn for jobs before all else."""
    drawn = ordeal(made.seed, made.chaos, tuple(made.processes), made.orders[0].at)
    made.guests = frozenset(drawn.guests)
    made.faults += tuple(drawn.faults)
    made.questions += tuple(drawn.questions)
    made.chaos = max(made.chaos, drawn.chaos)
    made.looks_back = made.looks_back or bool(drawn.chaos)
    for kind, hosts in drawn.guests.items():
        for name in hosts:
            made.processes[name] = (*made.processes[name], *AGENTS[kind])
    if drawn.steps:
        first, *others = made.orders
        made.orders = (replace(first, plan=(*drawn.steps, *first.plan)), *others)


def _press(made: Configuration) -> None:
    """As `_strain`."""
    drawn = press(made.seed, made.chaos, len(made.orders))
    made.places = drawn.places
    made.orders += drawn.orders
    made.faults += drawn.faults


def _processes(random: Random) -> dict[str, tuple[str, ...]]:
    count = random.choice((2, 2, 3, 3, 3, 4))
    names = ["ann", "bob", "cat", "dan"][:count]
    if random.random() < 0.5:
        return dict.fromkeys(names, ("flows", "work", "pay"))
    made: dict[str, tuple[str, ...]] = {}
    for name in names:
        does = [each for each in ("flows", "work", "pay") if random.random() < 0.55]
        made[name] = tuple(does or [random.choice(("flows", "work", "pay"))])
    for needed in ("flows", "work", "pay"):
        if not any(needed in does for does in made.values()):
            name = random.choice(names)
            made[name] = (*made[name], needed)
    return made


def _weather(random: Random) -> Weather:
    calm = Weather(0.0003, 0.0005)
    return random.choice(
        (calm, calm, Weather(0.0005, 0.01), Weather(0.001, 0.002, 0.02, 0.5), Weather(0.005, 0.05), Weather(0.0005, 0.001, 0.002, 4.0))
    )  # fmt: skip


def _quirks(random: Random) -> Quirks:
    quirks = Quirks(replicas=random.choice((1, 1, 3)), advisories=random.random() < 0.8)
    if random.random() < 0.5:
        quirks.disk, quirks.disk_spread = random.choice(((0.0005, 0.001), (0.002, 0.02), (0.01, 0.2)))
    elif quirks.replicas == 3:
        quirks.disk, quirks.disk_spread = 0.001, 0.002
    if random.random() < 0.3:
        quirks.lose_acks = random.choice((0.01, 0.05))
    if random.random() < 0.25:
        quirks.land_late = random.choice((0.01, 0.03))
    if random.random() < 0.5:
        quirks.forget_acks = random.choice((0.05, 1.0, 10.0))
    if quirks.replicas == 3 and random.random() < 0.6:
        quirks.lag = random.choice((0.01, 0.1, 1.0))
    return quirks


def _faults(random: Random, made: Configuration) -> tuple[Fault, ...]:
    if random.random() < 0.05:
        return ()
    kinds = [each for each in KINDS if random.random() < 0.5]
    if made.quirks.replicas == 1:
        kinds = [each for each in kinds if each[0] != "leaderless"]
    else:
        kinds = [each for each in kinds if each[0] != "server"]
    if not kinds:
        return ()
    count = random.choice((1, 2, 3, 4, 6, 9))
    drawn = random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds], k=count)
    return tuple(sorted((_fault(random, kind, made) for kind in drawn), key=lambda each: each.at))


def _fault(random: Random, kind: Kind, made: Configuration) -> Fault:
    at = random.random() * made.chaos
    names = list(made.processes)
    anyone = random.choice([*names, "client"])
    someone = random.choice(names)
    seconds = random.choice((0.05, 0.3, 1.0, 3.5, 6.0))
    match kind:
        case "crash":
            return Fault(at, kind, someone, seconds, random.choice((0, 0, 1, 3, 10, 40)))
        case "crash-on-append":
            return Fault(
                at * 0.7, kind, someone, seconds, random.randint(1, 6), random.choice(("stored", "told", "soon"))
            )
        case "crash-on-effect":
            return Fault(
                at * 0.7, kind, someone, seconds, random.randint(1, 2), random.choice(("before", "after", "soon"))
            )
        case "crash-on-word":
            return Fault(at, kind, someone, seconds, random.randint(1, 40), random.choice(("said", "soon")))
        case "partition":
            return Fault(
                at, kind, anyone, random.choice((0.5, 2.0, 5.0, 16.0)), 0, random.choice(("both", "up", "down"))
            )
        case "cut":
            return Fault(at, kind, anyone)
        case "slow":
            return Fault(at, kind, anyone, random.choice((1.0, 5.0)), 0, random.choice(("0.05", "0.3", "1.0")))
        case "stop":
            return Fault(at, kind, someone, random.choice((0.3, 2.0, 5.0, 12.0)))
        case "clock":
            return Fault(at, kind, anyone, 0.0, 0, random.choice(("-3600", "-2", "2", "40", "86400")))
        case "drain":
            return Fault(at, kind, someone, seconds)
        case _:
            return Fault(at, kind, "", random.choice((0.05, 0.5, 2.0, 5.0)))
