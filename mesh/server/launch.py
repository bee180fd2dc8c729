"""Launching the binary and waiting until it greets; when it does not, finding out why.

`detached` gives a process of its own that outlives us; `attached` a child that dies with us. Both are then awaited alike.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mesh.server.binary import ServerUnusable, find_binary, installed_version, too_old, too_old_message
from mesh.server.configuration import LOG, server_name
from mesh.server.greeting import Greeting, NotNats, greet
from mesh.server.ports import LOOPBACK
from mesh.server.process_mark import mark_of
from mesh.server.waiting import wait_until

_PAUSE = 0.003
_OUTPUT = "start.log"
_DETACH = '"$@" >"$0" 2>&1 </dev/null & echo $!'


class PortTaken(ServerUnusable):
    """Somebody else listens on the port."""

    code = "port-taken"


@dataclass(frozen=True)
class Launched:
    """A server that was started. `folder` holds its configuration and logs; `port` -1 means that it chooses one itself."""

    pid: int
    folder: Path
    store: Path
    port: int
    running: Callable[[], bool]


def detached(configuration: Path, store: Path, port: int, keep_open: int) -> Launched:
    """Start a server in a session of its own, nobody's child; it inherits the descriptor `keep_open`."""
    folder = configuration.parent
    command = ["/bin/sh", "-c", _DETACH, str(folder / _OUTPUT), str(find_binary()), "-c", str(configuration)]
    ran = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        start_new_session=True,
        pass_fds=(keep_open,),
        timeout=10,
        cwd=folder,
    )
    pid = int(ran.stdout)
    mark = mark_of(pid)
    return Launched(pid, folder, store, port, lambda: mark is not None and mark.alive)


def attached(configuration: Path, store: Path, port: int) -> tuple[Launched, subprocess.Popen[bytes]]:
    """Start a server as a child in a session of its own (Ctrl-C does not reach it) that is killed when we die.

    Dying with the parent needs Linux; elsewhere whoever started it has to stop it.
    """
    folder = configuration.parent
    with (folder / _OUTPUT).open("wb") as output:
        child = subprocess.Popen(
            [find_binary(), "-c", configuration],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509
            cwd=folder,
        )
    return Launched(child.pid, folder, store, port, lambda: child.poll() is None), child


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def await_ready(launched: Launched, timeout: float) -> tuple[Greeting, int]:
    """Wait until the server greets: its greeting and its port. Blocks.

    Raises:
        PortTaken: somebody else listens there.
        ServerUnusable: it ended, did not greet in time, or is too old; the message says what it said.
    """
    ready = wait_until(lambda: _look(launched), timeout, _PAUSE)
    if ready is None:
        raise ServerUnusable(f"nats-server did not become ready in {timeout:g} s; its log is {launched.folder / LOG}")
    if too_old(ready[0].version):
        raise ServerUnusable(too_old_message(ready[0].version, str(find_binary())))
    return ready


def _look(launched: Launched) -> tuple[Greeting, int] | None:
    ended = not launched.running()
    port = launched.port if launched.port > 0 else _chosen_port(launched)
    greeting = _greeting(port) if port else None
    if greeting is not None and greeting.server_name == server_name(launched.store):
        return greeting, port
    if ended:
        raise _why_it_ended(launched)
    return None


def _chosen_port(launched: Launched) -> int:
    path = launched.folder / f"nats-server_{launched.pid}.ports"
    try:
        urls = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])["nats"]
        return int(urls[0].rpartition(":")[2])
    except (OSError, msgspec.MsgspecError, LookupError, ValueError):
        return 0


def _greeting(port: int) -> Greeting | None:
    try:
        return greet(LOOPBACK, port, 1.0)
    except (OSError, NotNats):
        return None


def _why_it_ended(launched: Launched) -> ServerUnusable:
    said = _complaints(launched)
    if "address already in use" in said:
        return PortTaken(f"port {launched.port} is taken")
    version = installed_version(find_binary())
    if too_old(version):
        return ServerUnusable(too_old_message(version, str(find_binary())))
    return ServerUnusable(
        f"nats-server {version} ended at once: {said or 'it said nothing'} (files in {launched.folder})"
    )


def _complaints(launched: Launched) -> str:
    lines: list[str] = []
    for name in (_OUTPUT, LOG):
        path = launched.folder / name
        if path.exists():
            lines += path.read_text("utf-8", "replace").splitlines()[-40:]
    mine = [line for line in lines if f"[{launched.pid}]" in line and ("[FTL]" in line or "[ERR]" in line)]
    loose = [line for line in lines if line.strip() and not line.startswith("[")]
    return "; ".join((mine + loose)[-3:])
