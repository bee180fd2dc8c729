"""`mesh dlq redrive|drop` of several letters: each is tried, and what became of it is printed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from mesh import Job, Mesh, workflow
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.errors import BadPayload
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@workflow("double")
async def double(job: Job, number: int) -> int:
    return 2 * number


@pytest.fixture
async def host(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, process="host") as mesh:
        await mesh.host_workflow(double)
        yield mesh


async def written(mesh: Mesh, name: str, payload: str = "7", workflow: str = "double") -> str:
    """A letter that stands there."""
    letter = DeadLetter(
        id=name, stage="ingress", reason=BadPayload("no number").fault(), tenant="default", workflow=workflow, payload=payload
    )  # fmt: skip
    await mesh.peer.store.append(mesh.peer.subjects.dead_letter("default"), msgspec.json.encode(letter))
    return name


async def test_a_letter_that_cannot_be_redriven_keeps_none_of_the_others_back(host: Mesh, cli: CommandLine) -> None:
    first, last = await written(host, "first.1", "1"), await written(host, "last.1", "2")
    nameless, unfit = await written(host, "nameless.1", workflow=""), await written(host, "unfit.1", '"seven"')
    rows = await cli.json("dlq", "redrive", first, nameless, unfit, last, code=5)
    assert [(row["id"], row["became"], row["error"]) for row in rows] == [
        (first, "redriven", None),
        (nameless, None, "refused"),
        (unfit, None, "bad-payload"),
        (last, "redriven", None),
    ]
    assert "names no workflow" in rows[1]["message"]
    assert [await host.job(rows[number]["job"]).result(60) for number in (0, 3)] == [2, 4]
    code, out, err = await cli("dlq", "redrive", unfit, first)
    assert (code, rows[0]["job"] in out, "error: " in err) == (2, True, True), err


async def test_a_letter_that_cannot_be_dropped_keeps_none_of_the_others_back(host: Mesh, cli: CommandLine) -> None:
    done, useless = await written(host, "done.1"), await written(host, "useless.1")
    await cli.json("dlq", "redrive", done)
    rows = await cli.json("dlq", "drop", done, useless, code=5)
    assert [(row["id"], row["became"], row["error"]) for row in rows] == [
        (done, "redriven", "refused"),
        (useless, "dropped", None),
    ]


async def test_a_name_that_fits_no_letter_is_refused_before_anything_is_done(host: Mesh, cli: CommandLine) -> None:
    there = await written(host, "there.1")
    code, out, err = await cli("dlq", "redrive", there, "elsewhere")
    assert (code, out, "no dead letter 'elsewhere'" in err) == (2, "", True), err
    assert there in [row["id"] for row in await cli.json("dlq", "ls")]
