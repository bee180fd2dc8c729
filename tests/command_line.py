"""`mesh …` as a person types it, run in this process: an interpreter for each command would take most of the time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from mesh.cli.main import main

MESH_PROCESS = (sys.executable, "-c", "from mesh.cli.main import main; main()")
"""`mesh` in a process of its own, for what is killed, is sent signals, or runs beside other commands."""

_ONE_AT_A_TIME = threading.Lock()
"""Arguments, streams, environment and folder belong to the whole process."""

PATIENCE = 30.0
_PATIENT: dict[str, Any] = {
    "mesh.actors.deciding.WITHIN": PATIENCE,
    "mesh.cli.breaker.ANSWER_WITHIN": PATIENCE,
    "mesh.cli.registry._patience.__defaults__": (PATIENCE,),
    "mesh.cli.registry_bids.ANSWER_WITHIN": PATIENCE,
    "mesh.cli.telling.ANSWERED_WITHIN": PATIENCE,
}
"""How long commands wait for processes that live: a person wants to know soon who is silent, and a busy machine may stand still
for longer than that."""


def without_settings() -> dict[str, str]:
    """The environment without what it says of servers and of the mesh."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "MESH_"))}


def run_mesh(
    *arguments: str, folder: Path | None = None, given: bytes = b"", **environment: str
) -> CompletedProcess[str]:
    """Run a command as `main` does, in `folder`, and say how it ended. `given` is what comes on stdin.

    Of this process's settings it sees only `environment`. Nobody can be asked: no stream is a terminal. It runs in a thread,
    as a command brings its own loop, and cannot be sent signals.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, arguments, folder, given, environment).result()


def _run(
    arguments: tuple[str, ...], folder: Path | None, given: bytes, environment: dict[str, str]
) -> CompletedProcess[str]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with _ONE_AT_A_TIME, pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in os.environ.keys() - without_settings().keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        if folder is not None:
            patch.chdir(folder)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        patch.setattr(sys, "argv", ["mesh", *arguments])
        for name, value in _PATIENT.items():
            patch.setattr(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    assert "Traceback" not in err.getvalue()
    return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


class CommandLine:
    """Runs commands against the server at `url`, in `folder` where one is given, while the test's own loop goes on.

    `await cli("job", "ls")` gives the exit code, stdout and stderr. Commands that are given at once run one after the other.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url = url
        self.folder = folder

    async def __call__(self, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        ended = await asyncio.to_thread(run_mesh, *arguments, "--server", self.url, folder=self.folder, given=given)
        return ended.returncode, ended.stdout, ended.stderr

    async def json(self, *arguments: str, code: int = 0) -> Any:
        """What it prints as JSON; it ends with `code`."""
        ended, out, err = await self(*arguments, "-o", "json")
        assert ended == code, err
        return json.loads(out)
