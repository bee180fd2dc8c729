"""`mesh events --live` and `mesh logs -f`: what happens in the mesh, one object a line, while it happens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mesh import Context, Mesh, agent
from mesh.clock import SystemClock
from mesh.telemetry.telemetry import Telemetry
from tests.command_line import MESH_PROCESS
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@agent
async def clerk(text: str, ctx: Context) -> str:
    ctx.log("at work", wanted=text)
    await ctx.emit("clerk.worked", {"text": text}, stored=False)
    return text.upper()


@pytest.fixture
def url(server: RealServer) -> str:
    return server.url


class Following:
    """`mesh …` in a process of its own, and the lines it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, *words: str) -> Following:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*MESH_PROCESS, *words, "--server", url, stdout=pipe, stderr=pipe)
        assert process.stderr is not None
        while (said := await process.stderr.readline()) != b"listening\n":
            assert said, "it ended before it listened"
        return cls(process)

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode()

    async def until(self, **fields: Any) -> dict[str, Any]:
        """The next line that has these fields."""
        while True:
            line: dict[str, Any] = json.loads(await self.line())
            if fields.items() <= line.items():
                return line

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def test_events_are_heard_live_stored_or_not(url: str) -> None:
    async with Mesh.connect(url, name="host") as mesh:
        await mesh.host(clerk)
        following = await Following.start(url, "events", "--live", "--type", "clerk.*", "-o", "json")
        try:
            await mesh.ask("clerk", "tea")
            line = await following.until(type="clerk.worked")
            assert (line["payload"], line["agent"], line["sequence"]) == ({"text": "tea"}, "clerk", 0)
            await mesh.emit("clerk.rested", 1.5)
            assert (await following.until(type="clerk.rested"))["payload"] == 1.5
        finally:
            await following.end()


async def test_log_lines_are_heard_live_and_picked_out(url: str) -> None:
    async with Mesh.connect(url, process="host-1", telemetry=Telemetry(SystemClock().now)) as mesh:
        await mesh.host(clerk)
        calls = await Following.start(url, "logs", "-f", "--agent", "clerk", "-o", "json")
        everything = await Following.start(url, "logs", "--follow", "--event", "all")
        try:
            while not mesh.peer.telemetry.heard:  # noqa: ASYNC110 - until it knows that somebody listens
                await asyncio.sleep(0.01)
            await mesh.ask("clerk", "tea")
            line = await calls.until(event="agent.call")
            assert (line["process"], line["command"], line["exit_status"]) == ("host-1", "clerk", "success")
            while "wanted=tea" not in (text := await everything.line()):
                assert text
            assert "host-1  agent.log  " in text
        finally:
            await calls.end()
            await everything.end()
