"""`SimulatedLoop`: one thread, virtual time, many places. The seed says who runs next.

Within a place callbacks run in the order in which asyncio would run them: code may rely on that, and asyncio keeps it.
Between places every order is possible, as between processes: whose next callback runs is drawn each time. When nobody has
anything to do, time jumps to the next timer. Work for a thread runs in a later step of its place, so there are no threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, copy_context
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar

from tests.simulation.place import HERE, Place
from tests.simulation.step import Step

T = TypeVar("T")

MOST_AT_ONE_MOMENT = 200_000
"""Steps without time going on: somebody goes round in circles."""


class Spinning(RuntimeError):
    """The code runs for ever without waiting."""


class Stalled(RuntimeError):
    """Nothing is ready and nothing is scheduled."""


class _Numbers:
    """Counts what is hashed by a number; from the start again in each simulation."""

    last = 0


class SimulatedTask(asyncio.Task):  # type: ignore[type-arg]
    """Hashed by a number, so that a set of tasks has the same order in every run, wherever they lie in memory."""

    number = 0

    def __hash__(self) -> int:
        if not self.number:
            _Numbers.last += 1
            self.number = _Numbers.last
        return self.number


class SimulatedFuture(asyncio.Future):  # type: ignore[type-arg]
    """As `SimulatedTask`."""

    number = 0
    __hash__ = SimulatedTask.__hash__  # type: ignore[assignment]


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the module. `on_fuse` is called when a place's fuse has burnt down."""

    get_debug = bool  # type: ignore[assignment] - False, and asked for each future: no frame of Python for that

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.now = 0.0
        self.outside = Place("outside")
        self.current = self.outside
        self.steps = 0
        self.on_fuse: Callable[[Place], None] = lambda place: None
        self._runnable: list[Place] = []
        self._timers: list[tuple[float, int, Step]] = []
        self._count = 0
        _Numbers.last = 0

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """The monotonic clock of the place that runs."""
        return self.now + self.current.offset

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Step:  # type: ignore[override]
        """Run it in the place of its context, after everything that is due there."""
        if context is None:
            context, place = copy_context(), self.current
        else:
            place = context.get(HERE, self.outside)
        step = Step(callback, args, context, place)
        self._enqueue(step, place)
        return step

    call_soon_threadsafe = call_soon

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        """`when` is by the clock of the place that runs now."""
        if context is None:
            context, place = copy_context(), self.current
        else:
            place = context.get(HERE, self.outside)
        step = Step(callback, args, context, place, when)
        self.at(when - self.current.offset, step)
        return step

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        """As asyncio's."""
        return self.call_at(self.now + self.current.offset + delay, callback, *args, context=context)

    def at(self, when: float, step: Step) -> None:
        """Run it `when` it is due by the loop's own time; again for each time that this is said."""
        if step.place.alive:
            self._count += 1
            heappush(self._timers, (when, self._count, step))

    def create_future(self) -> asyncio.Future[Any]:
        """One with a number."""
        return SimulatedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """One with a number."""
        return SimulatedTask(coro, loop=self, name=name, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """What a thread would do is done in a step of its own, a moment later."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - it is the future's, whatever it is
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self.random.random() * 0.005, work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody reads what a dead place complains of; `complaints` keeps the rest."""
        if self.current.alive:
            self.complaints.append(f"{self.current}: {context.get('message')}: {context.get('exception')!r}")

    complaints: list[str]

    def _process_events(self, event_list: Any) -> None:
        """There is no input from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def close(self) -> None:
        """There is nothing to close."""

    # -- places

    def dead(self, place: Place) -> None:
        """Nothing of it runs any more. What it had is kept, so that nothing of it is run by being let go of."""
        if not place.alive:
            return
        place.alive = False
        place.tasks = [task for task in asyncio.all_tasks(self) if task.get_coro() is not None]
        if place in self._runnable:
            self._runnable.remove(place)

    def stop_place(self, place: Place) -> None:
        """SIGSTOP."""
        place.stopped = True
        if place in self._runnable:
            self._runnable.remove(place)

    def continue_place(self, place: Place) -> None:
        """SIGCONT."""
        if place.stopped:
            place.stopped = False
            if place.alive and place.ready:
                self._runnable.append(place)

    # -- the scheduler

    def _enqueue(self, step: Step, place: Place) -> None:
        """It is due. In a dead place it is kept, and never run."""
        ready = place.ready
        if not ready and place.alive and not place.stopped:
            self._runnable.append(place)
        ready.append(step)

    def _run_once(self) -> None:
        """Run until somebody calls `stop`."""
        runnable, draw = self._runnable, self.random.random
        moment, before = self.now, self.steps
        while not self._stopping:
            if runnable:
                count = len(runnable)
                place = runnable[int(draw() * count)] if count > 1 else runnable[0]
                ready = place.ready
                step = ready.popleft()
                if not ready:
                    runnable.remove(place)
                callback = step.callback
                if callback is None:
                    continue
            elif (alone := self._jump()) is not None:
                step, place, callback = alone, alone.place, alone.callback
            else:
                continue
            self.current = place
            try:
                step.context.run(callback, *step.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, somebody should have heard of it
                self._unheard(step, error)
            self.current = self.outside
            self.steps = steps = self.steps + 1
            place.fuse = fuse = place.fuse - 1
            if not fuse:
                self.on_fuse(place)
            if self.now != moment:
                moment, before = self.now, steps
            elif steps - before > MOST_AT_ONE_MOMENT:
                raise Spinning(f"{place} goes round in circles at t={self.now:.3f}: {step!r}")

    def _unheard(self, step: Step, error: BaseException) -> None:
        self.call_exception_handler({"message": f"Exception in callback {step.callback!r}", "exception": error})

    def _jump(self) -> Step | None:
        """Go on to the next timer: what is due then. None if that is for the scheduler: there are several, or none can run."""
        timers = self._timers
        while True:
            if not timers:
                raise Stalled("nothing is ready and nothing is scheduled")
            due, _, step = heappop(timers)
            if step.callback is not None and step.place.alive:
                break
            self._keep(step)
        if due > self.now:
            self.now = due
        place = step.place
        if (not timers or timers[0][0] > due) and not place.stopped:
            return step
        self._enqueue(step, place)
        while timers and timers[0][0] <= due:
            step = heappop(timers)[2]
            if step.callback is None or not step.place.alive:
                self._keep(step)
            else:
                self._enqueue(step, step.place)
        return None

    def _keep(self, step: Step) -> None:
        """A timer of a dead place holds on to what it was for."""
        if not step.place.alive:
            step.place.ready.append(step)
