"""`mesh approvals` and what `mesh job` tells jobs, on a real server: what is shown is what is approved, and exit codes say the rest."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import RealServer

from mesh import Job, Mesh, workflow

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


@workflow("publish")
async def publish(job: Job, text: str) -> str:
    said = await job.approval("publish.page", {"text": text}, key="publish", risk="medium")
    signed = await job.wait("signature", returns=str)
    return f"{text}, approved by {said.by}, signed by {signed}"


def never() -> None:
    raise ConnectionError("out of order")


@workflow("broken")
async def broken(job: Job) -> None:
    from mesh import Undo

    await job.step("done", str, "x", compensate=Undo(lambda _: never(), attempts=1))
    await job.wait("never")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one process on it that hosts the workflows, in a thread of this one."""
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def host(address: str) -> None:
        async with Mesh.connect(address, process="worker") as mesh:
            await mesh.host_workflow(publish)
            await mesh.host_workflow(broken)
            loops.append(asyncio.get_running_loop())
            ready.set()
            await over.wait()

    with RealServer(tmp_path_factory.mktemp("server")) as server:
        thread = threading.Thread(target=lambda: asyncio.run(host(server.url)))
        thread.start()
        assert ready.wait(30)
        yield server.url
        loops[0].call_soon_threadsafe(over.set)
        thread.join(30)


class Cli:
    """Runs commands in a folder of their own, where nobody can be asked."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NATS_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from mesh.cli.main import main; main()", *arguments, "--server", self.url,
            cwd=self.folder, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        assert "Traceback" not in err.decode()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def cli(url: str, tmp_path: Path) -> Cli:
    return Cli(url, tmp_path)


async def test_an_approval_from_the_submission_to_the_result(cli: Cli) -> None:
    code, out, err = await cli("submit", "publish", '"we are open"', "--key", "page")
    assert (code, out) == (6, "")
    assert "approval of 'publish.page', risk medium" in err
    (row,) = await cli.json("approvals", "ls")
    job = row["job"]
    assert f"mesh approvals show {job} publish" in err
    assert (row["workflow"], row["key"], row["action"], row["risk"]) == ("publish", "publish", "publish.page", "medium")
    shown = await cli.json("approvals", "show", job[:12])
    assert (shown["about"], shown["digest"]) == ({"text": "we are open"}, row["digest"])
    digest = shown["digest"].removeprefix("sha256:")

    unasked = await cli("approvals", "approve", job)
    assert unasked[0] == 2
    assert "--digest" in unasked[2]
    assert digest in unasked[2], "what is to be approved is shown, with its digest"

    approved = await cli.json("approvals", "approve", job, "--digest", digest[:8], "--by", "ann", "--reason", "read it")
    assert (approved["job"], approved["event"]) == (job, "wait.resolved")
    assert (await cli.json("job", "signal", job, "signature", '"carl"', "--key", "s1"))["job"] == job
    assert await cli.json("job", "result", job) == "we are open, approved by ann, signed by carl"
    code, _, err = await cli("job", "cancel", job)
    assert (code, "the job is completed" in err) == (5, True)


async def test_a_job_is_paused_resumed_cancelled_and_decided_about(cli: Cli) -> None:
    job = (await cli.json("submit", "broken", "--no-wait"))["job"]
    paused = await cli.json("job", "pause", job, "--by", "ann")
    assert paused["event"] == "pause.requested"
    code, _, err = await cli("job", "result", job)
    assert (code, f"paused by ann: `mesh job resume {job}`" in err) == (6, True), err
    assert (await cli.json("job", "resume", job))["event"] == "resumed"
    code, out, _ = await cli("job", "cancel", job, "--reason", "enough")
    assert (code, "it is asked to end; " in out) == (0, True)
    code, _, err = await cli("job", "result", job)
    assert (code, f"mesh job resolve {job} done --succeeded" in err) == (6, True), err
    found = [json.loads(line) for line in (await cli("events", "--type", "alert.raised", "-o", "json"))[1].splitlines()]
    assert [each["payload"]["job"] for each in found] == [job]

    assert (await cli.json("job", "resolve", job, "done", "--succeeded", "null", "--by", "ann"))[
        "event"
    ] == "wait.resolved"
    code, _, err = await cli("job", "result", job)
    assert (code, "enough" in err) == (7, True), err
