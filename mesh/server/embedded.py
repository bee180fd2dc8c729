"""The embedded server of a folder: start, stop, status.

A detached process, recorded in `.mesh/server.json`. Two things make it safe: starters and stoppers take turns by a file
lock, and the server itself inherits a second lock, so that one store never has two servers, whatever the records say.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mesh.clock import SystemClock
from mesh.protocols.ports import Clock
from mesh.server import configuration
from mesh.server.binary import ServerUnusable
from mesh.server.file_lock import FileLock
from mesh.server.greeting import Greeting, NotNats, greet
from mesh.server.launch import Launched, PortTaken, await_ready, detached
from mesh.server.ports import LOOPBACK, candidates, holder, is_free, remember, remembered
from mesh.server.process_mark import mark_of
from mesh.server.record import ServerRecord, read_record, write_record
from mesh.settings.folder import MeshFolder

_GRACE = 10.0
_TO_END = 5.0
"""Seconds that a server whose port is closed already may take to be gone: it was killed a moment ago."""
_READS = 50 * 1024 * 1024
"""Bytes of its store that a server gets through in a second: it looks at all of them after a crash, before it greets anybody."""


def start_server(
    folder: MeshFolder, *, port: int | None = None, timeout: float = 30.0, clock: Clock | None = None
) -> ServerRecord:
    """Start the folder's server and record it. Again, or by two at once: the one that runs already.

    It takes `port`, else the one it had before, else 4222, else a free one. Blocks until it is ready, for `timeout` seconds and as
    long as reading what it has stored may take.

    Raises:
        PortTaken: `port` was asked for and is somebody else's.
        ServerUnusable: no binary, too old, store not writable, or it ended; the message says what to do.
    """
    _create(folder)
    with FileLock(folder.server / "turn.lock", timeout=timeout):
        running = _running(folder)
        if running is None:
            return _start(folder, port, timeout, clock or SystemClock())
    if port not in (None, running.port):
        raise PortTaken(f"this folder's server already runs on port {running.port}: `mesh server stop` first")
    return running


def server_status(folder: MeshFolder) -> ServerRecord | None:
    """The folder's server if it runs and answers, else None. Nothing changes.

    Raises:
        ServerUnusable: its process is there but does not answer.
    """
    record = read_record(folder.server_file)
    return record if record is not None and record.mark.alive and _answers(record) else None


def stop_server(folder: MeshFolder, *, grace: float = _GRACE) -> ServerRecord | None:
    """Stop the folder's server; what it stored stays. Again: nothing happens, and None comes back.

    Blocks until it has ended; after `grace` seconds it is killed, which loses nothing that was acknowledged.
    """
    if not folder.server.is_dir():
        return None
    with FileLock(folder.server / "turn.lock"):
        record = read_record(folder.server_file)
        if record is not None and record.mark.signal(signal.SIGTERM) and not record.mark.wait(grace):
            record.mark.signal(signal.SIGKILL)
            if not record.mark.wait(_GRACE):
                raise ServerUnusable(f"process {record.pid} cannot be killed; look at `ps -p {record.pid}`")
        folder.server_file.unlink(missing_ok=True)
        return record


def revive_server(folder: MeshFolder) -> ServerRecord | None:
    """Start the folder's server again if it is recorded as running but has died; None when nothing was to be done.

    A server that was stopped on purpose has no record and stays down. It takes the port that it had and no other: whoever uses
    it knows no other.

    Raises:
        PortTaken: somebody else listens there by now.
        ServerUnusable: as `start_server`.
    """
    record = read_record(folder.server_file)
    if record is None or record.mark.alive:
        return None
    with FileLock(folder.server / "turn.lock"):
        record = read_record(folder.server_file)
        if record is None or record.mark.alive:
            return None
        try:
            return _start(folder, record.port, 30.0, SystemClock())
        except PortTaken as error:
            raise PortTaken(
                f"its port {record.port} is taken by {holder(record.port)}: stop that, or take another one with `mesh down` and `mesh up`"
            ) from error


def _create(folder: MeshFolder) -> None:
    try:
        folder.create()
        folder.store.mkdir(exist_ok=True)
    except OSError as error:
        raise ServerUnusable(f"{folder.path} cannot be written ({error.strerror}); use a folder that can") from error
    for path in (folder.server, folder.store):
        if not os.access(path, os.W_OK | os.X_OK):
            raise ServerUnusable(f"{path} is not writable for this user; change its owner, or use another folder")


def _running(folder: MeshFolder) -> ServerRecord | None:
    record = server_status(folder)
    if record is None:
        folder.server_file.unlink(missing_ok=True)
    return record


def _start(folder: MeshFolder, port: int | None, timeout: float, clock: Clock) -> ServerRecord:
    store_lock = FileLock(folder.server / "store.lock")
    if not store_lock.acquire(timeout=1.0):
        raise ServerUnusable(
            f"a server that is not recorded still runs on {folder.store}{_orphan(folder)}: end it, then start again"
        )
    try:
        launched, greeting, chosen = _on_some_port(folder, port, timeout, store_lock.descriptor)
    finally:
        store_lock.release()
    try:
        record = _record(folder, launched, greeting, chosen, clock)
        remember(folder.server / "port", chosen)
        write_record(folder.server_file, record)
    except BaseException:
        _kill(launched)  # nobody would know of it, and it would keep the store to itself
        raise
    return record


def _orphan(folder: MeshFolder) -> str:
    try:
        return f" (process {(folder.server / 'nats-server.pid').read_text('ascii').strip()})"
    except OSError:
        return ""


def _on_some_port(folder: MeshFolder, asked: int | None, timeout: float, lock: int) -> tuple[Launched, Greeting, int]:
    if asked is not None and not is_free(asked):
        raise PortTaken(f"port {asked} is taken by {holder(asked)}: stop that, or leave the port to us")
    ports = candidates(remembered(folder.server / "port")) if asked is None else iter((asked,))
    for port in ports:
        try:
            return _launch(folder, port, timeout, lock)
        except PortTaken:
            if asked is not None:
                raise
    raise PortTaken("every port tried was taken by somebody else; name one with --port")


def _launch(folder: MeshFolder, port: int, timeout: float, lock: int) -> tuple[Launched, Greeting, int]:
    path = configuration.write(port=port, store=folder.store, folder=folder.server)
    patience = timeout + _held(folder.store) / _READS  # a server that starts removes folders under whoever looks later
    launched = detached(path, folder.store, port, lock)
    try:
        greeting, port = await_ready(launched, patience)
    except BaseException:
        _kill(launched)
        raise
    return launched, greeting, port


def _held(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*.blk"))


def _kill(launched: Launched) -> None:
    mark = mark_of(launched.pid)
    if mark is not None and launched.running():
        mark.signal(signal.SIGKILL)
        mark.wait(5.0)


def _record(folder: MeshFolder, launched: Launched, greeting: Greeting, port: int, clock: Clock) -> ServerRecord:
    mark = mark_of(launched.pid)
    if mark is None:
        raise ServerUnusable(f"nats-server ended right after it was ready; its log is {_log(folder)}")
    return ServerRecord(
        url=f"nats://{LOOPBACK}:{port}",
        pid=launched.pid,
        version=greeting.version,
        store_dir=str(folder.store),
        port=port,
        started_at=clock.now(),
        server_id=greeting.server_id,
        process_started=mark.started,
        server_name=greeting.server_name,
    )


def _answers(record: ServerRecord) -> bool:
    try:
        return greet(LOOPBACK, record.port, 2.0).server_id == record.server_id
    except NotNats:
        return False
    except OSError as error:
        if record.mark.wait(_TO_END if isinstance(error, ConnectionError) else 0.0):
            return False
        raise ServerUnusable(
            f"nats-server (process {record.pid}) runs but does not answer on {record.url} ({error}): `mesh server stop` ends it"
        ) from error


def _log(folder: MeshFolder) -> Path:
    return folder.server / configuration.LOG
