"""`simulate`: one seed, from the drawing of its configuration to the last invariant."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from mesh.client.mesh import Mesh
from mesh.jobs.journals.snapshots import Snapshots
from mesh.resilience.quality import Quality
from mesh.resilience.quality_breaker import QUALITY
from tests.simulation.asking import Asking
from tests.simulation.chaos import Chaos
from tests.simulation.configuration import Configuration, draw
from tests.simulation.determinism import number_everything
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.loop import SimulatedLoop, Spinning, Stalled
from tests.simulation.operator import Operator
from tests.simulation.world import World

PATIENCE = 150.0
"""Virtual seconds after the last fault within which everything must have come to its end."""
SOON = replace(QUALITY, first=2.0, longest=60.0)
"""Outputs are tried again sooner than half a minute: time is dear here."""
SURE_AFTER = 22.0
"""Virtual seconds after the last fault when nothing of before is on its way any more."""


@dataclass
class Outcome:
    """What came of a seed."""

    seed: int
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    steps: int = 0
    seconds: float = 0.0
    """Virtual ones."""
    jobs: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.violation


class Simulation:
    """One run. `without` are the numbers of the faults that are left out."""

    def __init__(
        self,
        configuration: Configuration,
        without: frozenset[int] = frozenset(),
        *,
        logs: bool = False,
        shown: bool = False,
    ) -> None:
        number_everything()
        self.configuration = configuration
        Snapshots.__init__.__kwdefaults__["every"] = configuration.snapshot_every  # type: ignore[index]
        Quality.__init__.__defaults__ = (SOON,)
        random = Random(f"run {configuration.seed}")
        self.loop = SimulatedLoop(random)
        self.loop.complaints = []
        self._logs = logs
        self._shown = shown
        asyncio.set_event_loop(None)
        self._without = without
        self.world: World
        self.invariants: Invariants

    def run(self) -> Outcome:
        """Run it to its end, or to the first violation."""
        outcome = Outcome(self.configuration.seed)
        collecting = gc.isenabled()
        gc.disable()
        try:
            self.loop.run_until_complete(self.loop.create_task(self._main(), name="main"))
        except Violation as error:
            outcome.violation = str(error)
        except (Spinning, Stalled) as error:
            outcome.violation = f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001 - a defect of the simulation or of the code: either must be seen
            outcome.violation = traceback.format_exc()
        finally:
            if collecting:
                gc.enable()
        if not outcome.violation and self.loop.complaints:
            outcome.violation = f"nobody heard of an error: {self.loop.complaints[0]}"
        if outcome.violation or self._shown:
            outcome.trace = self.world.trace.lines()
        outcome.steps, outcome.seconds = self.loop.steps, self.loop.now
        outcome.jobs = len(self.invariants.jobs)
        outcome.digest = self.world.trace.digest(self.loop.steps, self.loop.now, self.loop.random.random())
        return outcome

    async def _main(self) -> None:
        loop = self.loop
        world = self.world = World(loop, self.configuration, loop.random)
        if self._logs:
            _tell_logs(world)
        else:
            logging.disable(logging.CRITICAL)
        self.invariants = Invariants(world)
        chaos = Chaos(world, self.configuration.faults, self._without)
        self.invariants.watch()
        operator = Operator(world)
        await world.start()
        world.tell("world", "everybody is up")
        mesh = world.client.mesh
        assert isinstance(mesh, Mesh)
        asking = Asking(world, self.invariants)
        for each in (operator, asking):
            world.client.place.context.run(each.begin, mesh)  # type: ignore[union-attr]
        chaos.begin()
        await self._sleep(self.configuration.chaos)
        chaos.end()
        healed = loop.now
        operator.sure = False
        while asking.open or not self.invariants.settled(operator):
            if loop.now > healed + SURE_AFTER:
                operator.sure = True
            if loop.now > healed + PATIENCE:
                break
            await self._sleep(0.5)
        if asking.open:
            self.invariants.violated(f"{min(asking.open)} never came to anything")
        await self.invariants.finish(operator)

    async def _sleep(self, seconds: float) -> None:
        """Wait, and stop at a violation."""
        end = self.loop.now + seconds
        while self.loop.now < end:
            await asyncio.sleep(min(0.25, max(0.0, end - self.loop.now)))
            self.invariants.presence.look()
            self.invariants.check()


def simulate(
    seed: int,
    *,
    without: frozenset[int] = frozenset(),
    logs: bool = False,
    shown: bool = False,
    change: Callable[[Configuration], None] | None = None,
) -> Outcome:
    """Run one seed. Again: the same, to the last step. The trace is written out if it is to be `shown`, or something is wrong."""
    configuration = draw(seed)
    if change is not None:
        change(configuration)
    return Simulation(configuration, without, logs=logs, shown=shown).run()


def _tell_logs(world: World) -> None:
    """What the production code logs stands in the trace, too."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if world.loop.current.alive:
                text = record.getMessage()
                if record.exc_info:
                    text += "\n" + "".join(traceback.format_exception(*record.exc_info))
                world.tell(str(world.loop.current), f"  log: {record.levelname.lower()}: {text}")

    root = logging.getLogger()
    root.handlers = [Handler()]
    root.setLevel(logging.DEBUG)
    logging.disable(logging.NOTSET)
