"""`mesh up --detach`: a host in a session of its own, which reports once whether it is ready.

`launch` runs in the command that the person typed; `main` in the process that stays.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from mesh.host.console import Console, OwnLines
from mesh.host.foreground import UpRequest, run_host
from mesh.host.host_record import HostRecord
from mesh.host.process_log import ProcessLog, last_lines
from mesh.protocols.errors import Fault, MeshError, Unavailable, every_error, from_fault
from mesh.settings.folder import MeshFolder

_COMMAND = (sys.executable, "-P", "-m", "mesh.host.detached")
_MARGIN = 30.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The one report: the host's record when it is ready, else what went wrong."""

    ready: HostRecord | None = None
    fault: Fault | None = None


def launch(request: UpRequest, timeout: float) -> HostRecord:
    """Start a detached host and wait until all its instances are ready: its record. Blocks.

    Raises:
        NotReady and the others of `run_host`: it has not become ready, and has ended.
        Unavailable: it neither reported nor ended in time; it was told to stop.
    """
    folder = MeshFolder(Path(request.folder)).create()
    output = folder.logs / "detached.log"
    ours, theirs = socket.socketpair()
    with ours, output.open("ab") as log:
        child = subprocess.Popen(
            [*_COMMAND, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        try:
            outcome = _converse(ours, request, timeout + _MARGIN)
        except BaseException:
            child.send_signal(signal.SIGTERM)
            raise
    if outcome is None:
        said = " ".join(last_lines(output, 3))
        raise Unavailable(
            f"the host ended without a word (exit status {child.wait(5)}): {said} (all of it in {output})"
        )
    if outcome.ready is None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_MARGIN)
        assert outcome.fault is not None
        raise _typed(outcome.fault)
    return outcome.ready


def _typed(fault: Fault) -> MeshError:
    """The error in its own type, be it of floor 0 or of a floor in between; of several with one code, that of the uppermost."""
    kind = next((each for each in every_error() if each.code == fault.code), None)
    return kind(fault.message, detail=fault.detail) if kind else from_fault(fault)


def _converse(channel: socket.socket, request: UpRequest, timeout: float) -> Outcome | None:
    channel.settimeout(timeout)
    channel.sendall(msgspec.json.encode(request) + b"\n")
    text = b""
    try:
        while chunk := channel.recv(65536):
            text += chunk
    except TimeoutError:
        raise Unavailable(f"the host did not report within {timeout:g} s and was told to stop") from None
    return msgspec.json.decode(text, type=Outcome) if text else None


def main() -> None:
    """Run the host that a `launch` in another process asks for over the descriptor that is our only argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    request = msgspec.json.decode(channel.makefile("rb").readline(), type=UpRequest)
    try:
        status = run_host(
            request, _LogConsole(MeshFolder(Path(request.folder))), lambda record: _report(channel, ready=record)
        )
    except MeshError as error:
        _report(channel, fault=error.fault())
        status = 1
    sys.exit(status)


class _LogConsole:
    """Makes the console of a detached host: its own log, for its processes have theirs."""

    def __init__(self, folder: MeshFolder) -> None:
        self._folder = folder

    def __call__(self, record: HostRecord) -> Console:
        return OwnLines(ProcessLog(self._folder.logs / f"{record.name}.log"))


def _report(channel: socket.socket, *, ready: HostRecord | None = None, fault: Fault | None = None) -> None:
    try:
        channel.sendall(msgspec.json.encode(Outcome(ready=ready, fault=fault)))
        channel.shutdown(socket.SHUT_RDWR)
    except OSError:
        os.write(2, b"mesh: nobody waits for the report any more\n")


if __name__ == "__main__":
    main()
