"""`Crew`: the processes of one test: started together, killed, frozen, thawed, and ended by their own pids.

They are forked off a server process that has imported the mesh already: a real process each, in a fifth of the time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, ClassVar

import psutil

from mesh.testing.virtual_time import until
from tests.faults.member import Terms, forked

READY_WITHIN = 60.0
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.faults.member"])


async def stopped(pid: int) -> None:
    """Until a process that was sent SIGSTOP does nothing any more."""
    await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


class Crew:
    """Processes by name. Other crews are other `terms`, and another `entry` that a process of these terms begins with."""

    terms: ClassVar[Any] = Terms
    entry: ClassVar[Any] = staticmethod(forked)

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._running: dict[str, ForkServerProcess] = {}

    # -- life and death

    async def start(self, *names: str, **terms: Any) -> None:
        """Start a process for each name, all at once; returns when all are ready."""
        for name in names:
            self.launch(name, **terms)
        for name in names:
            await self.ready(name)

    def launch(self, name: str, *, source: Path | None = None, **terms: Any) -> None:
        """Start a process and do not wait for it. Its stderr goes to `<name>.log`; `source` is another tree to run."""
        whole = self.terms(**{"url": self.url, "process": name, "folder": str(self.folder)} | terms)
        self._ready(name).unlink(missing_ok=True)
        process = _forks.Process(target=self.entry, args=(whole, self._log(name), source), daemon=True)
        self._running[name] = process
        process.start()

    async def ready(self, name: str) -> None:
        """Until the process says that it is ready; an error with its log if it ended instead."""
        await until(lambda: self._ready(name).exists() or not self.alive(name), timeout=READY_WITHIN)
        assert self.alive(name), f"{name} ended at once:\n{self.log(name)}"

    async def ended(self, name: str) -> int | None:
        """The exit code of a process that ends by itself."""
        await until(lambda: not self.alive(name), timeout=READY_WITHIN)
        return self._running[name].exitcode

    def alive(self, name: str) -> bool:
        return self._running[name].is_alive()

    def pid(self, name: str) -> int:
        pid = self._running[name].pid
        assert pid is not None
        return pid

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def kill(self, name: str) -> None:
        """`kill -9`, and see it gone."""
        self._running[name].kill()
        self._running[name].join(10)

    async def freeze(self, name: str) -> None:
        """`kill -STOP`, and see it stand still."""
        self.signal(name, signal.SIGSTOP)
        await stopped(self.pid(name))

    def thaw(self, name: str) -> None:
        self.signal(name, signal.SIGCONT)

    def end(self) -> None:
        """Every process that was started here is gone when this returns."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.join(10)
            process.close()

    # -- what it does

    def let(self, *names: str) -> None:
        """Let go of what is held under these names."""
        for name in names:
            (self.folder / f"let-{name}").touch()

    def effects(self, what: str) -> list[str]:
        """The processes that did it, in order."""
        return [process for done, process in self.lines() if done == what]

    async def did(self, what: str, times: int = 1) -> list[str]:
        """The processes that did it, as soon as it has been done so often."""
        await until(lambda: len(self.effects(what)) >= times)
        return self.effects(what)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Everything that was done, and by which process, in the order of doing."""
        file = self.folder / "effects"
        text = file.read_text() if file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            done, _, process = line.partition(" ")
            yield done, process

    # -- what it wrote

    def log(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")

    def mishaps(self, *names: str) -> str:
        """Whatever in their logs no fault may lead to: an exception that nobody expected."""
        logs = {name: self.log(name) for name in names}
        return "\n".join(log for log in logs.values() if "Traceback" in log or "task.failed" in log)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _ready(self, name: str) -> Path:
        return self.folder / f"{name}.ready"
