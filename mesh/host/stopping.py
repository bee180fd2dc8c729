"""`mesh down`: draining the hosts of a folder from outside, and stopping its server after the last of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress

import msgspec

from mesh.clock import SystemClock
from mesh.host.host_record import HostRecord, ProcessRecord, live_hosts, remove_host
from mesh.protocols.errors import Refused, TimedOut
from mesh.server.embedded import stop_server
from mesh.server.process_mark import ProcessMark
from mesh.settings.folder import MeshFolder

_AFTER_KILL = 5.0


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """What has been ended: the hosts by name, and the server's URL if it was stopped, too."""

    hosts: tuple[str, ...] = ()
    server: str | None = None


def stop_hosts(
    folder: MeshFolder, names: Collection[str] = (), *, force: bool = False, timeout: float = 30.0
) -> Stopped:
    """Drain the hosts named, or all; with `force` kill them and their processes. Blocks until they have ended.

    The folder's own server is stopped when no host is left. Again: nothing is left to do, which is fine.

    Raises:
        Refused: no live host has that name.
        TimedOut: a host has not ended in `timeout` seconds; it goes on draining.
    """
    live = {host.name: host for host in live_hosts(folder)}
    unknown = sorted(set(names) - set(live))
    if unknown:
        raise Refused(f"no host {', '.join(unknown)} runs here; running: {', '.join(live) or 'none'}")
    chosen = [live[name] for name in live if not names or name in names]
    for host in chosen:
        _kill(host) if force else host.mark.signal(signal.SIGTERM)
    _await_end(chosen, _AFTER_KILL if force else timeout)
    for host in chosen:
        remove_host(folder, host.name)
    stopped = None if live_hosts(folder) else stop_server(folder)
    return Stopped(hosts=tuple(host.name for host in chosen), server=stopped.url if stopped else None)


def _await_end(hosts: list[HostRecord], timeout: float) -> None:
    clock = SystemClock()
    ends = clock.monotonic() + timeout
    late = [host.name for host in hosts if not host.mark.wait(max(0.0, ends - clock.monotonic()))]
    if late:
        raise TimedOut(f"{', '.join(late)} still drains after {timeout:g} s: wait, or end it with `mesh down --force`")


def _kill(host: HostRecord) -> None:
    host.mark.signal(signal.SIGKILL)
    for process in host.processes:
        _kill_group(process)


def _kill_group(process: ProcessRecord) -> None:
    if ProcessMark(pid=process.pid, started=process.process_started).alive:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
