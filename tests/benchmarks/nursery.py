"""Where the other processes of a bench come from: a process without a loop, forked before the bench started its own.

Each request carries one end of a socket; the process made for it talks to the bench through that. All of them end when the
bench does: their sockets close.
"""

from __future__ import annotations

import signal
import socket

import msgspec

from tests.benchmarks.forks import fork
from tests.benchmarks.other_process import serve

_LIMIT = 64 * 1024


class Nursery:
    """Makes processes that run `main(url, *arguments)` of a module."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fork(_tend, theirs, self._requests)
        theirs.close()

    def born(self, module: str, *arguments: str) -> socket.socket:
        """A new process; what is returned ends in it."""
        mine, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._requests, [msgspec.json.encode((module, *arguments))], [theirs.fileno()])
        return mine


def _tend(requests: socket.socket, bench_end: socket.socket) -> None:
    bench_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: their sockets tell
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LIMIT, 1)
        if not request:
            return
        with socket.socket(fileno=descriptors[0]) as conversation:
            fork(_live, requests, conversation, *msgspec.json.decode(request, type=list[str]))


def _live(requests: socket.socket, conversation: socket.socket, module: str, *arguments: str) -> None:
    requests.close()
    serve(conversation, module, *arguments)
