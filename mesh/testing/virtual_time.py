"""An event loop whose time jumps: a test that waits for an hour is done in a millisecond, and in the same order each run.

Valid only for code whose waiting is all timers and futures of the one loop: everything over `MemoryServer`. When nothing
is ready, time jumps to the next timer; when there is no timer either, nobody can ever wake up, and `Stalled` says who
waits where.
"""

from __future__ import annotations

import asyncio
import selectors
import types
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from mesh.protocols.ports import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = 1_800_000_000.0
"""What `VirtualClock.now` says at the start: 2027-01-15 08:00:00 UTC."""
THREAD_PATIENCE = 30.0
"""Real seconds that work in a thread may take before the loop counts as stalled."""


class Stalled(RuntimeError):
    """Nothing is ready and nothing is scheduled: the test waits for something that can never happen."""


class _JumpingSelector(selectors.BaseSelector):
    """Asks the real selector without waiting, and moves virtual time instead of waiting."""

    def __init__(self, loop_ref: Callable[[], VirtualLoop]) -> None:
        self._real = selectors.DefaultSelector()
        self._loop = loop_ref

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; if nothing is, virtual time has moved by `timeout`."""
        loop = self._loop()
        if loop.threads:
            return self._await_thread(loop)
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Stalled(_stall_report(loop))
        loop.jump(timeout)
        return []

    def _await_thread(self, loop: VirtualLoop) -> list[tuple[selectors.SelectorKey, int]]:
        """Virtual time stands still while a thread works for the loop."""
        ready = self._real.select(0 if loop.has_ready() else THREAD_PATIENCE)
        if not ready and not loop.has_ready():
            raise Stalled(f"work in a thread took longer than {THREAD_PATIENCE:g} s\n{_stall_report(loop)}")
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real one."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the real one."""
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real one."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        """As the real one."""
        return self._real.get_map()

    def close(self) -> None:
        """As the real one."""
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time, starting at 0."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self.threads = 0
        super().__init__(_JumpingSelector(lambda: self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Move virtual time forward; timers that have come due run next."""
        self._virtual += seconds

    def has_ready(self) -> bool:
        """Whether a callback is due in this very turn."""
        return bool(self._ready)  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As asyncio's; virtual time stands still until the thread has answered."""
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As asyncio's, which joins the executor's threads in a thread of its own."""
        self.threads += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.threads -= 1

    def _thread_done(self, _: object) -> None:
        self.threads -= 1


class VirtualClock(Clock):
    """The clock of the running `VirtualLoop`. `shift` makes `now` jump, as wall clocks do; `monotonic` never does."""

    def __init__(self, epoch: float = EPOCH) -> None:
        self._epoch = epoch

    def now(self) -> float:
        """Virtual Unix seconds."""
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        """The running loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time: no real time passes."""
        await asyncio.sleep(max(0.0, seconds))

    def shift(self, seconds: float) -> None:
        """Step the wall clock, for tests of what must not depend on it."""
        self._epoch += seconds


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` on a fresh virtual loop and return its result.

    Raises:
        Stalled: it waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def until(condition: Callable[[], bool], *, timeout: float = 30.0, poll: float = 0.01) -> None:
    """Wait until `condition()` holds; costs no real time under virtual time.

    Raises:
        TimeoutError: it still does not hold after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while not condition():
        if loop.time() >= end:
            raise TimeoutError(f"still not true after {timeout:g} s")
        await asyncio.sleep(poll)


def _stall_report(loop: VirtualLoop) -> str:
    lines = [f"nothing is ready and nothing is scheduled at t={loop.time():g}: these wait for ever"]
    lines += [
        f"  {task.get_name()}: {' > '.join(_waiting_at(task)) or 'not started'}" for task in asyncio.all_tasks(loop)
    ]
    return "\n".join(lines)


def _waiting_at(task: asyncio.Task[Any]) -> list[str]:
    """Where the task waits, from its outermost coroutine to the innermost."""
    places: list[str] = []
    step: Awaitable[Any] | None = task.get_coro()  # type: ignore[assignment]
    while isinstance(step, types.CoroutineType):
        if step.cr_frame is not None:
            places.append(f"{step.cr_code.co_qualname} ({step.cr_code.co_filename}:{step.cr_frame.f_lineno})")
        step = step.cr_await
    return places
