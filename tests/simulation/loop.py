"""`SimulatedLoop`: one thread, virtual time, many places. The seed says who runs next.

Within a place callbacks run in the order in which asyncio would run them: code may rely on that, and asyncio keeps it.
Between places every order is possible, as between processes: whose next callback runs is drawn each time. When nobody has
anything to do, time jumps to the next timer. Work for a thread runs in a later step of its place, so there are no threads.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar

from tests.simulation.place import HERE, Place

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

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.now = 0.0
        self.outside = Place("outside")
        self.current = self.outside
        self.steps = 0
        self.on_fuse: Callable[[Place], None] = lambda place: None
        self._runnable: list[Place] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Place]] = []
        self._count = 0
        _Numbers.last = 0
        self.set_task_factory(self._make_task)

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """The monotonic clock of the place that runs."""
        return self.now + self.current.offset

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Run it in the place of its context, after everything that is due there."""
        handle = events.Handle(callback, args, self, context)
        place = self.current if context is None else context.get(HERE, self.outside)
        self._enqueue(handle, place)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """`when` is by the clock of the place that runs now."""
        handle = events.TimerHandle(when, callback, args, self, context)
        place = self.current if context is None else context.get(HERE, self.outside)
        if place.alive:
            self._count += 1
            heappush(self._timers, (when - self.current.offset, self._count, handle, place))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        return self.call_at(self.now + self.current.offset + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """One with a number."""
        return SimulatedFuture(loop=self)

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

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when it is due."""

    def _process_events(self, event_list: Any) -> None:
        """There is no input from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def close(self) -> None:
        """There is nothing to close."""

    def _make_task(self, loop: Any, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return SimulatedTask(coro, loop=self, **options)

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

    def _enqueue(self, handle: asyncio.Handle, place: Place) -> None:
        if not place.alive:
            place.ready.append(handle)  # kept, and never run
            return
        if not place.ready and not place.stopped:
            self._runnable.append(place)
        place.ready.append(handle)

    def _run_once(self) -> None:
        """Run until somebody calls `stop`."""
        runnable, draw = self._runnable, self.random.random
        moment, spins = self.now, 0
        while not self._stopping:
            if not runnable:
                self._jump()
                continue
            count = len(runnable)
            place = runnable[int(draw() * count)] if count > 1 else runnable[0]
            handle = place.ready.popleft()
            if not place.ready:
                runnable.remove(place)
            if handle._cancelled:
                continue
            place.steps += 1
            self.steps += 1
            self.current = place
            handle._run()
            self.current = self.outside
            place.fuse -= 1
            if place.fuse == 0:
                self.on_fuse(place)
            if self.now != moment:
                moment, spins = self.now, 0
            spins += 1
            if spins > MOST_AT_ONE_MOMENT:
                raise Spinning(f"{place} goes round in circles at t={self.now:.3f}: {handle!r}")

    def _jump(self) -> None:
        """Go on to the next timer, and to all that are due at the same moment."""
        timers = self._timers
        while timers and (timers[0][2]._cancelled or not timers[0][3].alive):
            self._keep(heappop(timers))
        if not timers:
            raise Stalled("nothing is ready and nothing is scheduled")
        due = timers[0][0]
        self.now = max(self.now, due)
        while timers and timers[0][0] <= due:
            entry = heappop(timers)
            if entry[2]._cancelled or not entry[3].alive:
                self._keep(entry)
                continue
            self._enqueue(entry[2], entry[3])

    def _keep(self, entry: tuple[float, int, asyncio.TimerHandle, Place]) -> None:
        """A timer of a dead place holds on to what it was for."""
        if not entry[3].alive:
            entry[3].ready.append(entry[2])
