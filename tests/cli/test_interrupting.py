"""Ctrl-C ends the waiting, and says what became of what was waited for."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from mesh import Mesh
from mesh.protocols.submission import job_id_for_key
from tests.command_line import without_settings
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

INTERRUPTIBLE = (
    sys.executable, "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mesh.cli.main import main; main()",
)  # fmt: skip
"""`mesh` as a terminal starts it: what a script starts in the background hears no Ctrl-C, nor do its children."""


async def test_whoever_interrupts_a_submission_that_nobody_answered_is_told_the_key_of_the_same_job(
    tmp_path: Path,
) -> None:
    """Given again without it, it may be done twice."""
    asked = asyncio.Event()
    with RealServer(tmp_path / "server") as server:
        async with Mesh.connect(server.url, name="here") as mesh:
            listening = await mesh.peer.bus.subscribe(
                mesh.peer.subjects.submit("default", "pay"), lambda _: asked.set()
            )
            command = await asyncio.create_subprocess_exec(
                *INTERRUPTIBLE, "submit", "pay", "1", "--server", server.url,
                env=without_settings(), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            await asyncio.wait_for(asked.wait(), 60)
            command.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(command.communicate(), 60)
            await listening.close()
    assert (command.returncode, out) == (130, b"")
    key = err.decode().split("with the key '")[1].split("'")[0]
    assert job_id_for_key("default", key) in err.decode()
