"""The nursery: a process that has loaded everything a worker needs, and forks one whenever it is asked.

Loading takes half a second of work for each Python, forking some milliseconds. It has a single thread and no event loop, so
that a fork is safe; it runs nobody's code but the mesh's own. Started as `python -P -m mesh.host.nursery <descriptor> [module …]`;
it ends when its supervisor does.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from mesh.host.nursery_messages import DESCRIPTORS, LARGEST, Birth, Born, Ended

logger = logging.getLogger("mesh.host.nursery")
PRELOADED = (
    "mesh.host.worker",
    "mesh.client.mesh",
    "mesh.transport.nats.bus",
    "mesh.transport.nats.fast",
    "mesh.transport.nats.store",
    "mesh.jobs.host",
    "uvloop",
)


class _Child(Exception):
    """Raised in a forked worker, to leave the nursery's loop behind; carries the descriptor of its channel."""

    def __init__(self, channel: int) -> None:
        super().__init__(channel)
        self.channel = channel


def main() -> None:
    """Run the nursery to its end, and each worker that it forks to its own."""
    control = socket.socket(fileno=int(sys.argv[1]))
    channel = -1
    try:
        _serve(control, sys.argv[2:])
    except _Child as child:
        channel = child.channel
    if channel >= 0:
        from mesh.host.worker import work

        work(channel)


def _serve(control: socket.socket, modules: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    awake, wake = os.pipe()
    for end in (awake, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _preload(modules)
    numbers: dict[int, int] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(awake, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if awake in ready:
            with suppress(BlockingIOError):
                os.read(awake, 4096)
            _reap(control, numbers)
        if control.fileno() in ready and not _answer(control, (awake, wake), numbers):
            return


def _preload(modules: list[str]) -> None:
    for module in (*PRELOADED, *modules):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 (the worker that needs it will say so, and to whom it matters)
            logger.info("%s is not loaded beforehand: %s", module, error)
    gc.collect()
    gc.freeze()


def _answer(control: socket.socket, ours: tuple[int, int], numbers: dict[int, int]) -> bool:
    try:
        data, descriptors, _, _ = socket.recv_fds(control, LARGEST + 1, DESCRIPTORS)
    except ConnectionResetError:
        return False
    if not data:
        return False
    birth = msgspec.json.decode(data, type=Birth)
    try:
        pid = os.fork()
    except OSError as error:
        _say(control, Born(number=birth.number, error=str(error)))
        pid = -1
    if pid == 0:
        _become(birth, descriptors, ours, control)
    for descriptor in descriptors:
        os.close(descriptor)
    if pid > 0:
        numbers[pid] = birth.number
    return True


def _become(birth: Birth, descriptors: list[int], ours: tuple[int, int], control: socket.socket) -> None:
    """In the child: be what a fresh Python would be."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    channel, output, errors = descriptors
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (errors, 2)):
        os.dup2(source, target)
    for descriptor in (null, output, errors, *ours):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(birth.environment)
    time.tzset()
    _name(birth.environment.get("MESH_PROCESS", ""))
    try:
        os.chdir(birth.folder)
    except OSError as error:
        sys.exit(f"{birth.folder}: {error.strerror}")
    _say(control, Born(number=birth.number, pid=os.getpid()))
    control.close()
    raise _Child(channel)


def _name(name: str) -> None:
    """Show the worker's name in `top` and `ps -o comm`."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15] or "mesh-worker", "utf-8")


def _reap(control: socket.socket, numbers: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(control, Ended(number=numbers.pop(pid, 0), pid=pid, status=os.waitstatus_to_exitcode(status)))


def _say(control: socket.socket, message: Born | Ended) -> None:
    with suppress(OSError):  # the supervisor is gone: the next read says so
        control.send(msgspec.json.encode(message))


if __name__ == "__main__":
    main()
