"""`mesh approvals` and what `mesh job` tells jobs, on a real server: what is shown is what is approved, and exit codes say the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Job, Mesh, workflow
from tests.command_line import CommandLine
from tests.hosting_thread import hosting
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


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

    async def host(mesh: Mesh) -> None:
        await mesh.host_workflow(publish)
        await mesh.host_workflow(broken)

    with RealServer(tmp_path_factory.mktemp("server")) as server, hosting(server.url, host):
        yield server.url


@pytest.fixture
def cli(url: str, tmp_path: Path) -> CommandLine:
    return CommandLine(url, tmp_path)


async def test_an_approval_from_the_submission_to_the_result(cli: CommandLine) -> None:
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


async def test_a_job_is_paused_resumed_cancelled_and_decided_about(cli: CommandLine) -> None:
    job = (await cli.json("submit", "broken", "--no-wait"))["job"]
    async with asyncio.timeout(60):  # it has something to undo only when its first step is done
        while [(each["key"], each["state"]) for each in (await cli.json("job", "show", job))["steps"]] != [
            ("done", "succeeded")
        ]:
            pass
    paused = await cli.json("job", "pause", job, "--by", "ann")
    assert paused["event"] == "pause.requested"
    code, _, err = await cli("job", "result", job)
    assert (code, f"paused by ann: `mesh job resume {job}`" in err) == (6, True), err
    assert (await cli.json("job", "resume", job))["event"] == "resumed"
    code, out, _ = await cli("job", "cancel", job, "--reason", "enough")
    assert (code, "it is asked to end; " in out) == (0, True)
    code, _, err = await cli("job", "result", job)
    assert (code, f"mesh job resolve {job} done --succeeded" in err) == (6, True), err
    found: list[str] = []
    async with asyncio.timeout(40):
        while job not in found:
            _, out, _ = await cli("events", "--type", "alert.raised", "-o", "json")
            found = [json.loads(line)["payload"]["job"] for line in out.splitlines()]
    assert found.count(job) == 1

    assert (await cli.json("job", "resolve", job, "done", "--succeeded", "null", "--by", "ann"))[
        "event"
    ] == "wait.resolved"
    code, _, err = await cli("job", "result", job)
    assert (code, "enough" in err) == (7, True), err
