"""`NurserySpawner`: workers from a nursery, which is started when it is first needed and again if it is gone.

What a fork cannot give (another interpreter's settings, an environment that is very large or no text) is started the plain way.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mesh.host.nursery_messages import LARGEST, Birth, Born, Ended
from mesh.host.spawning import PlainSpawner, Spawned
from mesh.server.process_mark import mark_of

_COMMAND = (sys.executable, "-P", "-m", "mesh.host.nursery")
_BIRTH_TIMEOUT = 30.0
_SEND_TIMEOUT = 10
_GOODBYE = 2.0
_UNKNOWN = 255
_INTERPRETERS = ("PYTHON", "LD_", "MALLOC_", "GLIBC_")
_answers = msgspec.json.Decoder(Born | Ended)


def forkable(environment: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Whether a worker with this environment can be a fork of a process with ours."""
    names = {name for name in {*environment, *ours} if name.startswith(_INTERPRETERS)}
    return all(environment.get(name) == ours.get(name) for name in names - {"PYTHONUNBUFFERED"})


class Output:
    """A pipe: `theirs` is the descriptor to write to, `reader` what is read here."""

    def __init__(self, theirs: int, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.theirs = theirs
        self.reader = reader
        self._transport = transport

    @classmethod
    async def open(cls) -> Output:
        """A new one."""
        ours, theirs = os.pipe()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(ours, "rb", buffering=0)
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
        except BaseException:
            pipe.close()
            os.close(theirs)
            raise
        return cls(theirs, reader, transport)

    def give_away(self) -> None:
        """Whoever writes to it has it now: without ours it ends when theirs does."""
        os.close(self.theirs)

    def close(self) -> None:
        """Read no more. Again: nothing happens."""
        self._transport.close()


class ForkedProcess:
    """A child of the nursery."""

    def __init__(self, pid: int, out: Output, err: Output) -> None:
        self.pid = pid
        self.stdout, self.stderr = out.reader, err.reader
        self._outputs = (out, err)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """Wait for its end: its exit status, negative for a signal; 255 when the nursery went away before it."""
        return await asyncio.shield(self.ended)

    def close(self) -> None:
        """Listen no more to what it writes. Again: nothing happens."""
        for output in self._outputs:
            output.close()


class NurserySpawner:
    """Asks one nursery for all workers of a host. `modules`: the mesh's own ones that it should load beforehand."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._modules = tuple(modules)
        self._plain = PlainSpawner()
        self._lock = asyncio.Lock()
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0
        self._births: dict[int, asyncio.Future[int]] = {}
        self._children: dict[int, ForkedProcess] = {}
        self._early: dict[int, int] = {}

    async def spawn(self, channel: int, folder: Path, environment: Mapping[str, str]) -> Spawned:
        """Start one.

        Raises:
            OSError: neither the nursery nor the system can.
        """
        number = self._next()
        message = _message(Birth(number=number, folder=str(folder), environment=dict(environment)))
        if message is None or not forkable(environment, os.environ):
            return await self._plain.spawn(channel, folder, environment)
        control = await self._nursery()
        try:
            return await self._born(control, number, message, channel)
        except TimeoutError:
            await self.close()
            return await self._plain.spawn(channel, folder, environment)

    async def close(self) -> None:
        """Let the nursery go, by force if need be; workers that run are not touched. Again: nothing happens."""
        process, self._process = self._process, None
        self._lost()
        if process is None:
            return
        try:
            async with asyncio.timeout(_GOODBYE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _next(self) -> int:
        self._number += 1
        return self._number

    # -- a birth

    async def _born(self, control: socket.socket, number: int, message: bytes, channel: int) -> ForkedProcess:
        out = await Output.open()
        try:
            err = await Output.open()
        except BaseException:
            out.close()
            out.give_away()
            raise
        birth = self._births[number] = asyncio.get_running_loop().create_future()
        try:
            descriptors = [channel, out.theirs, err.theirs]
            await asyncio.to_thread(socket.send_fds, control, [message], descriptors)
            async with asyncio.timeout(_BIRTH_TIMEOUT):
                pid = await birth
        except BaseException:
            out.close()
            err.close()
            raise
        finally:
            self._births.pop(number, None)
            out.give_away()
            err.give_away()
        child = self._children[pid] = ForkedProcess(pid, out, err)
        if pid in self._early:
            self._end(pid, self._early.pop(pid))
        return child

    def _end(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:
            self._early[pid] = status
        elif not child.ended.done():
            child.ended.set_result(status)

    # -- the nursery itself

    async def _nursery(self) -> socket.socket:
        async with self._lock:
            if self._socket is None:
                self._socket = await self._start()
            return self._socket

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT, 0))
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                str(theirs.fileno()),
                *self._modules,
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)
        return ours

    def _hear(self, control: socket.socket) -> None:
        try:
            data = control.recv(LARGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(_answers.decode(data))
        elif control is self._socket:
            self._lost()

    def _take(self, answer: Born | Ended) -> None:
        birth = self._births.get(answer.number)
        waiting = birth is not None and not birth.done()
        if isinstance(answer, Born) and answer.pid:
            if waiting and birth is not None:
                birth.set_result(answer.pid)
        elif waiting and birth is not None:
            birth.set_exception(OSError(answer.error if isinstance(answer, Born) else "it ended at its birth"))
        elif isinstance(answer, Ended):
            self._end(answer.pid, answer.status)

    def _lost(self) -> None:
        control, self._socket = self._socket, None
        if control is None:
            return
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        for birth in self._births.values():
            if not birth.done():
                birth.set_exception(OSError("the nursery ended meanwhile"))
        for pid in list(self._children):
            _watch_alone(self, pid)

    def orphaned(self, pid: int) -> None:
        """A worker whose nursery is gone has ended."""
        self._end(pid, _UNKNOWN)


def _message(birth: Birth) -> bytes | None:
    """What the nursery is told; None for what it cannot be told: names and values need not be text, but JSON is."""
    try:
        message = msgspec.json.encode(birth)
    except UnicodeEncodeError:
        return None
    return message if len(message) <= LARGEST else None


def _watch_alone(spawner: NurserySpawner, pid: int) -> None:
    """Nobody will tell of its end any more: its pidfd does."""
    if mark_of(pid) is None:
        spawner.orphaned(pid)
        return
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:  # it has ended since
        spawner.orphaned(pid)
        return

    def ended() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        spawner.orphaned(pid)

    loop.add_reader(handle, ended)
