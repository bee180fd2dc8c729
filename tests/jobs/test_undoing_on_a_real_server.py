"""Cancel, undo, children and alerts with real agents on a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh import Job, Mesh, agent, workflow
from mesh.protocols.errors import Cancelled, Refused
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

DONE: list[str] = []


@agent(capability="room.book")
async def book(name: str) -> str:
    DONE.append(f"book {name}")
    return name


@agent(capability="room.cancel")
async def cancel(name: str) -> None:
    if name == "stuck":
        raise Refused("the hotel is closed")
    DONE.append(f"cancel {name}")


@agent(capability="room.wait")
async def wait(name: str) -> None:
    DONE.append(f"begin {name}")
    try:
        await asyncio.sleep(110)
    except asyncio.CancelledError:
        DONE.append(f"stopped {name}")
        raise


@workflow("inner")
async def inner(job: Job, name: str) -> None:
    await job.call("room.wait", name, key="wait", timeout=110)


@workflow("outer")
async def outer(job: Job, name: str) -> None:
    await job.map("room.book", [name, "two"], at_once=1, key=str, compensate="room.cancel")
    await job.child(inner, "inner")


async def seen(line: str) -> None:
    while line not in DONE:  # noqa: ASYNC110 - a global that agents append to
        await asyncio.sleep(0.02)


async def test_a_cancel_reaches_the_childs_handler_and_undoes_the_rest(tmp_path: Path) -> None:
    DONE.clear()
    with RealServer(tmp_path) as server:
        async with Mesh.connect(server.url, process="p") as mesh:
            for each in (book, cancel, wait):
                await mesh.host(each)
            await mesh.host_workflow(outer)
            await mesh.host_workflow(inner)
            handle = await mesh.submit("outer", "one")
            await seen("begin inner")
            assert (await handle.cancel(by="ann", timeout=60)).taken
            with pytest.raises(Cancelled):
                await handle.result(60)
            assert (await handle.state()).status == "compensated"
            await seen("stopped inner")
            assert [each for each in DONE if each.startswith(("book", "cancel"))] == [
                "book one", "book two", "cancel two", "cancel one",
            ]  # fmt: skip

            DONE.clear()
            stuck = await mesh.submit("outer", "stuck")
            await seen("begin inner")
            await stuck.cancel(by="ann", timeout=60)
            state = await stuck.watch(timeout=60, until=lambda state: state.status == "parked")
            assert "the hotel is closed" in state.parked
            found: list[Any] = [each async for each in _first(mesh)]
            assert found[0].payload["job"] == stuck.id
            assert (await stuck.resolve("room.book/stuck", "succeeded", by="ann", timeout=60)).taken
            with pytest.raises(Cancelled):
                await stuck.result(60)


async def _first(mesh: Mesh) -> Any:
    async for event in mesh.events("alert.raised", agent="jobs", after=0):
        yield event
        return
