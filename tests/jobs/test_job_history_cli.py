"""`mesh job replay`, `fork`, `diff` and `show` as a user meets them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Mesh
from mesh.host.loading import load
from mesh.protocols.submission import job_id_for_key
from tests.command_line import CommandLine
from tests.hosting_thread import hosting
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

FLOWS = """
from mesh import Job, agent, workflow

@agent(name="writer", capability="writer.write")
async def writer(text: str) -> str:
    return f"plain {text}"

@workflow("letter")
async def letter(job: Job, to: str, amount: int = 1) -> dict[str, str]:
    dear = await job.step("dear", lambda to: f"dear {to}", to, effect="idempotent")
    text = await job.call("writer.write", {"text": f"{dear}, {amount}"}, key="write", returns=str)
    return {"text": await job.step("end", lambda text: text + ".", text)}
"""
BETTER = """
from mesh import agent

@agent(name="writer", capability="writer.write")
async def writer(text: str) -> str:
    return f"fine {text}"
"""
MANIFEST = '[[workflows]]\nuse = "flows.py:letter"\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "flows.py").write_text(FLOWS)
    (folder / "better.py").write_text(BETTER)
    (folder / "mesh.toml").write_text(MANIFEST)
    (folder / "changed.py").write_text(FLOWS.replace('{amount}"', '{amount}!"'))
    return folder


@pytest.fixture(scope="module")
def url(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one process on it that hosts what `flows.py` has, in a thread of this one."""

    async def host(mesh: Mesh) -> None:
        await mesh.host(load("flows.py:writer", home))
        await mesh.host_workflow(load("flows.py:letter", home, "workflow"))
        await (await mesh.submit("letter", {"to": "ann"}, key="ann")).result(60)

    with RealServer(tmp_path_factory.mktemp("server")) as server, hosting(server.url, host):
        yield server.url


@pytest.fixture
def cli(url: str, home: Path) -> CommandLine:
    return CommandLine(url, home)


@pytest.fixture
def job() -> str:
    """A letter that is written."""
    return job_id_for_key("default", "ann")


async def test_replay_says_whether_the_code_here_fits_and_is_the_exit_code(cli: CommandLine, job: str) -> None:
    good, bad, saved = await asyncio.gather(
        cli("job", "replay", job, "--save", "letter.jsonl"),
        cli("job", "replay", job, "--code", "changed.py:letter"),
        cli.json("job", "replay", job),
    )
    assert (good[0], bad[0]) == (0, 1)
    assert "3 steps recalled, nothing is different" in good[1]
    assert '"dear ann, 1" → "dear ann, 1!"' in bad[1]
    assert (saved["ok"], saved["divergence"], saved["recalled"]) == (True, None, 3)
    kept = await cli.json("job", "replay", "--file", "letter.jsonl", "--code", "changed.py:letter", code=1)
    assert [each["divergence"]["key"] for each in kept] == ["write"]


async def test_a_fork_goes_on_from_a_step_with_another_input_or_agent(cli: CommandLine, job: str) -> None:
    planned = await cli.json("job", "fork", job, "--at", "write", "--set", "amount=7", "--dry-run")
    assert (planned["kept"], planned["stubbed"], planned["redone"]) == (["dear"], [], ["write", "end"])
    first, again, other = await asyncio.gather(
        cli.json("job", "fork", job, "--at", "write", "--set", "amount=7"),
        cli.json("job", "fork", job, "--at", "write", "--set", "amount=7", "--no-wait"),
        cli.json("job", "fork", job, "--at", "write", "--agent", "writer=better.py"),
    )
    assert first == {"text": "plain dear ann, 7."}
    assert again["job"] == planned["job"]
    assert other == {"text": "fine dear ann, 1."}
    found = await cli.json("job", "diff", job, planned["job"])
    assert found["outcome"]["diff"] == ['$.text: "plain dear ann, 1." → "plain dear ann, 7."']
    assert [each["change"] for each in found["steps"]] == ["same", "output", "output"]
    _, drawn, _ = await cli("job", "diff", job, planned["job"])
    for part in ("a fork of", "amount=7", "2 different, 1 the same", "plain dear ann, 7"):
        assert part in drawn


async def test_show_draws_the_timeline_for_people_and_for_mermaid(cli: CommandLine, job: str) -> None:
    shown, drawn, diagram = await asyncio.gather(
        cli.json("job", "show", job), cli("job", "show", job), cli("job", "show", job, "-o", "mermaid")
    )
    assert [(each["lane"], each["name"], each["how"]) for each in shown["timeline"]] == [
        ("owner", "worker", "done"), ("step", "dear", "done"), ("step", "write", "done"), ("step", "end", "done"),
    ]  # fmt: skip
    assert re.search(r"write +│·*█+·*│", drawn[1])
    assert diagram[1].startswith("gantt\n    title letter version 1")
    task = re.compile(r"    [^:;#]+ :(active, |done, |crit, )?\w+, \d{13}, \d{13}")
    tasks = [line for line in diagram[1].splitlines() if " :" in line]
    assert len(tasks) == 4
    assert all(task.fullmatch(line) for line in tasks)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay",), "which job?"),
        (("replay", "JOB", "--code", "nothing.py"), "there is no file"),
        (("fork", "JOB", "--at", "nothing"), "it came to dear, write, end"),
        (("fork", "JOB", "--at", "write", "--set", "amount"), "NAME=VALUE"),
        (("fork", "JOB", "--at", "write", "--set", "a.b=1"), "has no place"),
        (("fork", "JOB", "--at", "write", "--agent", "writer=nothing.py"), "there is no file"),
        (("fork", "JOB", "--at", "write", "--agent", "reader=better.py"), "is called 'writer'"),
        (("diff", "JOB", "jnothing"), "mesh job ls"),
    ],
)
async def test_what_goes_wrong_says_what_to_do(
    cli: CommandLine, job: str, arguments: tuple[str, ...], says: str
) -> None:
    code, out, err = await cli("job", *(job if each == "JOB" else each for each in arguments))
    assert (code, out) == (2, ""), err
    assert says in err
