"""`TemporaryServer`: a real server for one `with`: demos, one-off reviews, tests. It dies with the process that started it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from mesh.server import configuration
from mesh.server.greeting import Greeting
from mesh.server.launch import Launched, attached, await_ready
from mesh.server.ports import LOOPBACK
from mesh.settings.target import ServerTarget

_GRACE = 5.0


class TemporaryServer:
    """A server in a folder of its own on a free loopback port, gone at the end with everything it stored (unless it was
    given a `folder`, whose end is its owner's business).

    Works as a context manager, sync and async. `kill`, `stop`, `start`, `pause` and `resume` let tests do to it what life
    does: a second `start` is on the same port, with the same store. The process is killed when the thread that started it
    ends, so start it from a thread that stays (the main one, or the event loop's).
    """

    def __init__(self, *, folder: Path | None = None, timeout: float = 30.0) -> None:
        self._timeout = timeout
        self._given = folder
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._port = -1
        self.greeting: Greeting | None = None

    @property
    def url(self) -> str:
        """Where clients connect. Known once it has been started; the same after a restart."""
        if self._port < 0:
            raise RuntimeError("the server has no port before it was started")
        return f"nats://{LOOPBACK}:{self._port}"

    @property
    def target(self) -> ServerTarget:
        """The same as settings."""
        return ServerTarget(url=self.url, source="temporary server")

    @property
    def pid(self) -> int:
        """The server's process; 0 while none runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    @property
    def folder(self) -> Path:
        """Its configuration, log and store: the folder it was given, which it leaves behind, or a temporary one."""
        if self._given is not None:
            self._given.mkdir(parents=True, exist_ok=True)
            return self._given
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mesh-server-", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    def start(self) -> None:
        """Start it and block until it is ready. Again while it runs: nothing happens.

        Raises:
            ServerUnusable: the message says why and what to do.
        """
        if not self.pid:
            self._ready(self._launch())

    def stop(self) -> None:
        """End it in order; its store stays until `close`. Again: nothing happens."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it like a crash."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its folder. Again: nothing happens."""
        try:
            self.kill()
        finally:
            folder, self._folder = self._folder, None
            if folder is not None:
                folder.cleanup()

    def _launch(self) -> Launched:
        store = self.folder / "store"
        path = configuration.write(port=self._port, store=store, folder=self.folder)
        launched, self._child = attached(path, store, self._port)
        return launched

    def _ready(self, launched: Launched) -> None:
        try:
            self.greeting, self._port = await_ready(launched, self._timeout)
        except BaseException:
            self.kill()
            raise

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._child is None:
            return
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(_GRACE)

    def __enter__(self) -> TemporaryServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> TemporaryServer:
        try:
            await asyncio.to_thread(self._ready, self._launch())
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)
