"""`mesh …` as a person types it, run in this process: an interpreter for each command would take most of the time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.main import main

_ONE_AT_A_TIME = threading.Lock()
"""Arguments, streams and the folder belong to the whole process."""


class CommandLine:
    """Runs commands as `main` does, against the server at `url`, in `folder` where one is given.

    `await cli("job", "ls")` gives the exit code, stdout and stderr. Commands are run one after the other, in a thread, and
    nobody can be asked: no stream is a terminal. `given` is what comes on stdin.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url = url
        self.folder = folder

    async def __call__(self, *arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        return await asyncio.to_thread(self._run, arguments, given)

    async def json(self, *arguments: str, code: int = 0) -> Any:
        """What it prints as JSON; it ends with `code`."""
        ended, out, err = await self(*arguments, "-o", "json")
        assert ended == code, err
        return json.loads(out)

    def _run(self, arguments: tuple[str, ...], given: bytes) -> tuple[int, str, str]:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with _ONE_AT_A_TIME, pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in [name for name in os.environ if name.startswith("NATS_")]:
                patch.delenv(name)
            if self.folder is not None:
                patch.chdir(self.folder)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
            patch.setattr(sys, "argv", ["mesh", *arguments, "--server", self.url])
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        assert "Traceback" not in err.getvalue()
        return code, out.getvalue(), err.getvalue()
