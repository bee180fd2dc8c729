"""`mesh submit` and `mesh job`: stable JSON, a result on stdout, everything else on stderr, and exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Job, Mesh, agent, workflow
from mesh.protocols.errors import Refused, TimedOut
from tests.command_line import CommandLine
from tests.hosting_thread import hosting
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@agent(capability="text.upper")
async def upper(text: str) -> str:
    if text == "no":
        raise Refused("I will not")
    if text == "wait":
        await asyncio.sleep(4)
    return text.upper()


@workflow("shout")
async def shout(job: Job, text: str) -> dict[str, str]:
    job.progress("\x1b[31mred")
    if text == "late":
        raise TimedOut("the bank has not answered")
    return {"text": await job.call("text.upper", text, key="upper", returns=str)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one process on it that hosts both, in a thread of this one."""

    async def host(mesh: Mesh) -> None:
        await mesh.host(upper, capacity=8)
        await mesh.host_workflow(shout)

    with RealServer(tmp_path_factory.mktemp("server")) as server, hosting(server.url, host):
        yield server.url


@pytest.fixture
def cli(url: str, tmp_path: Path) -> CommandLine:
    return CommandLine(url, tmp_path)


async def test_submit_prints_the_result_on_stdout_and_the_story_on_stderr(cli: CommandLine) -> None:
    code, out, err = await cli("submit", "shout", '"hello"')
    assert (code, json.loads(out)) == (0, {"text": "HELLO"})
    for part in ("shout version 1", "worker takes it", "upper.worker", "the only acceptable bid", "✓ upper", "is done"):
        assert part in err
    assert "\x1b" not in err


async def test_the_input_may_come_from_stdin_or_a_file(cli: CommandLine) -> None:
    (cli.folder / "input.json").write_text('{"text": "file"}')
    (_, piped, _), (_, filed, _) = await asyncio.gather(
        cli("submit", "shout", "-", given=b'{"text": "pipe"}\n'), cli("submit", "shout", "@input.json")
    )
    assert (json.loads(piped), json.loads(filed)) == ({"text": "PIPE"}, {"text": "FILE"})


async def test_a_key_is_one_job_and_the_listings_are_stable(cli: CommandLine) -> None:
    options = ("--key", "k1", "--tenant", "acme", "--budget", "1.5", "--priority", "1", "--deadline", "60")
    first = await cli.json("submit", "shout", '"hello"', "--no-wait", *options)
    second = await cli.json("submit", "shout", '"hello"', "--no-wait", *options)
    assert first == {"job": first["job"], "duplicate": False}
    assert second == {"job": first["job"], "duplicate": True}
    assert await cli.json("job", "result", first["job"]) == {"text": "HELLO"}

    (row,) = await cli.json("job", "ls", "--tenant", "acme")
    assert list(row) == ["id", "workflow", "version", "tenant", "state", "owner", "submitted_at"]
    assert {key: row[key] for key in row if key != "submitted_at"} == {
        "id": first["job"],
        "workflow": "shout",
        "version": 1,
        "tenant": "acme",
        "state": "completed",
        "owner": "worker",
    }
    shown = await cli.json("job", "show", first["job"][:10])
    assert {key: shown[key] for key in row} == row
    assert shown["constraints"]["budget"]["money"] == 1.5
    assert shown["deadline_s"] == 60
    (step,) = shown["steps"]
    assert (step["key"], step["state"], step["by"], step["attempt"]) == ("upper", "succeeded", "upper.worker", 1)
    (award,) = shown["awards"]
    assert award["winner"] == "worker.upper.worker"
    assert award["reason"]
    (bid,) = award["bids"]
    assert bid["won"]
    assert bid["score"]["total"] == pytest.approx(sum(bid["score"][part] for part in ("cost", "latency", "risk")))
    assert set(shown["usage"]) == {"tokens_in", "tokens_out", "money", "tool_calls", "duration", "exit_status"}

    code, out, _ = await cli("job", "events", first["job"], "-o", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [each["event"] for each in lines] == [
        "submitted",
        "owner.claimed",
        "progressed",
        "step.started",
        "step.succeeded",
        "completed",
    ]
    code, out, _ = await cli("job", "show", first["job"])
    assert code == 0
    assert "won" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("submit", "shout", '{"text": 1}'), 2, "does not fit"),
        (("submit", "shout", "{oops"), 2, "not JSON"),
        (("submit", "shout", "@nowhere.json"), 2, "nowhere.json"),
        (("submit", "shout", '"x"', "--budget", "much"), 2, "budget"),
        (("submit", "shout", '"x"', "--label", "eu"), 2, "name=value"),
        (("submit", "nothing"), 2, "known are shout"),
        (("submit", "shout", '"no"'), 5, "I will not"),
        (("submit", "shout", '"wait"', "--timeout", "0.5"), 4, "goes on"),
        (("submit", "shout", '"x"', "--label", "gpu=yes"), 5, "gpu"),
        (("job", "show", "jnothing"), 2, "mesh job ls"),
        (("job", "result", "jnothing"), 2, "mesh job ls"),
    ],
)
async def test_what_goes_wrong_has_its_exit_code_and_says_what_to_do(
    cli: CommandLine, arguments: tuple[str, ...], code: int, says: str
) -> None:
    returned, out, err = await cli(*arguments)
    assert (returned, out) == (code, ""), err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [('"wait"', "--deadline", "2"), ('"late"',)])
async def test_a_job_that_is_over_is_not_said_to_go_on_however_it_failed(
    cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    """Exit codes 3 and 4 mean: ask again. Whoever does, of a job that timed out, would ask for ever."""
    code, out, err = await cli("submit", "shout", *arguments)
    assert (code, out) == (1, ""), err
    assert "goes on" not in err
    job = next(word.strip(":,") for word in err.split() if word.startswith("j") and len(word) > 20)
    code, _, again = await cli("job", "result", job)
    assert (code, "goes on" in again) == (1, False), again
