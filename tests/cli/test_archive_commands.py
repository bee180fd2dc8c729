"""`mesh archive` and `mesh tenant`: stable JSON, exit codes, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from mesh import Job, Mesh, workflow
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@workflow("shout")
async def shout(job: Job, text: str) -> str:
    return text.upper()


@pytest.fixture
async def host(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, process="host") as mesh:
        await mesh.host_workflow(shout)
        yield mesh


async def test_a_job_is_archived_shown_and_still_answers_for_its_key(host: Mesh, cli: CommandLine) -> None:
    handle = await host.submit("shout", "hello", key="k1", tenant="acme")
    assert await handle.result(20) == "HELLO"
    code, _, err = await cli("archive", "run")
    assert (code, "[retention]" in err) == (2, True)
    (due,) = await cli.json("archive", "run", "--tenant", "acme", "--older-than", "0", "--dry-run")
    assert (due["id"], due["state"]) == (handle.id, "completed")
    ran = await cli.json("archive", "run", "--tenant", "acme", "--older-than", "0")
    assert (ran["archived"], ran["finished"], len(ran["archives"])) == (1, 0, 1)
    (row,) = await cli.json("archive", "ls")
    assert list(row) == ["id", "workflow", "tenant", "state", "ended_at", "entries", "archive", "key"]
    assert (row["id"], row["archive"], row["key"]) == (handle.id, ran["archives"][0], "k1")
    code, out, _ = await cli("archive", "show", handle.id[:10], "-o", "json")
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["submitted", "owner.claimed", "completed"]
    code, out, _ = await cli("job", "show", handle.id)
    assert (code, "mesh archive show" in out) == (0, True)
    code, out, err = await cli("job", "events", handle.id, "-o", "json")
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["archived"]
    assert (code, f"{row['entries']} entries are in {row['archive']}: `mesh archive show {handle.id}`" in err) == (
        0,
        True,
    ), err
    again = await host.submit("shout", "hello", key="k1", tenant="acme")
    assert (again.duplicate, await again.result(20)) == (True, "HELLO")
    assert await cli.json("archive", "sweep") == []

    code, _, err = await cli("tenant", "erase", "acme")
    assert (code, "--yes" in err) == (2, True)
    erased = await cli.json("tenant", "erase", "acme", "--yes")
    assert (erased["jobs"], erased["archives"]) == (1, 1)
    assert await cli.json("archive", "ls") == []
    code, _, err = await cli("job", "show", handle.id)
    assert (code, "no job" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("archive", "show", "nothing"), 2, "mesh archive ls"),
        (("archive", "run", "--older-than", "1", "--format", "tar"), 2, "jsonl or parquet"),
        (("job", "replay", "--file", "none.jsonl"), 2, "there is no file none.jsonl"),
        (("job", "replay", "--file", "none.parquet"), 2, "there is no file none.parquet"),
        (("tenant", "erase", "Not A Tenant", "--yes"), 2, "lower-case"),
        (("archive", "run", "--older-than", "1", "--folder", "/proc/nowhere"), 2, "cannot be written"),
    ],
)
async def test_mistakes_are_told_in_one_line(
    cli: CommandLine, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended, out, err = await cli(*arguments)
    assert (ended, out) == (code, ""), err
    assert says in err


async def test_the_manifest_says_how_long_and_where(host: Mesh, cli: CommandLine) -> None:
    (cli.folder / "mesh.toml").write_text(
        '[retention]\ndays = 100\nfolder = "kept"\ntenants = { quick = 0 }\n[[agents]]\nuse = "a.b:C"\n'
    )
    for tenant in ("quick", "slow"):
        assert await (await host.submit("shout", tenant, tenant=tenant)).result(20) == tenant.upper()
    assert (await cli.json("archive", "run"))["archived"] == 1
    assert [each["tenant"] for each in await cli.json("archive", "ls")] == ["quick"]
    assert [each.name for each in (cli.folder / "kept" / "default").iterdir() if each.is_dir()] == ["quick"]
    (cli.folder / "mesh.toml").write_text('[retention]\ndays = "x"\n[[agents]]\nuse = "a.b:C"\n')
    code, _, err = await cli("archive", "ls")
    assert (code, "mesh.toml" in err and "retention.days" in err) == (2, True), err
