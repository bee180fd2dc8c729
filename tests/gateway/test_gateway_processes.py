"""`mesh gateway` as a user runs it: its files, its refusals, SIGTERM, and `kill -9` between a job's end and its webhook."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from mesh import Mesh
from mesh.gateway.webhooks.ledger import Entry, Ledger
from mesh.testing.virtual_time import until
from tests.command_line import MESH_PROCESS, run_mesh, without_settings
from tests.gateway.gate import door, listen

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]


def secret_in(path: str) -> str:
    """What a file has that only its owner can read."""
    file = Path(path)
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text().strip()


class Cli:
    """Runs `mesh gateway …` in a folder of its own, and ends what it started."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.env = without_settings() | {"NATS_URL": url}
        self.started: list[asyncio.subprocess.Process] = []
        self.clients: list[aiohttp.ClientSession] = []

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        if arguments[0] == "http":  # which hears signals, as only a process of its own can
            process = await self._spawn(arguments)
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()
        url = self.env["NATS_URL"]
        ended = await asyncio.to_thread(run_mesh, "gateway", *arguments, folder=self.folder, NATS_URL=url)
        return ended.returncode, ended.stdout, ended.stderr

    async def serve(self, *arguments: str) -> tuple[asyncio.subprocess.Process, aiohttp.ClientSession]:
        """A gateway process, and a client with its token."""
        process = await self._spawn(("http", "--listen", "127.0.0.1:0", *arguments))
        assert process.stderr is not None
        async with asyncio.timeout(60):
            said = ""
            while "the token is in" not in said:
                said = (await process.stderr.readline()).decode()
                assert said, "the gateway ended"
        found = re.search(r"gateway on (\S+); the token is in (\S+)", said)
        assert found is not None
        token = secret_in(found[2])
        self.clients.append(aiohttp.ClientSession(found[1], headers={"Authorization": f"Bearer {token}"}))
        return process, self.clients[-1]

    async def _spawn(self, arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *MESH_PROCESS,
            "gateway",
            *arguments,
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=-1,
            stderr=-1,
        )
        self.started.append(process)
        return process

    async def end(self) -> None:
        for client in self.clients:
            await client.close()
        for each in self.started:
            if each.returncode is None:
                each.kill()
                await each.communicate()


@pytest_asyncio.fixture(loop_scope="module")
async def cli(url: str, tmp_path: Path) -> AsyncIterator[Cli]:
    made = Cli(url, tmp_path)
    yield made
    await made.end()


async def test_kill_9_between_the_end_of_a_job_and_its_webhook_loses_nothing(cli: Cli, workers: Mesh) -> None:
    """The first gateway dies while it sends. Another job ends while no gateway runs at all. The second one tells of both."""
    arrived: list[tuple[str, str]] = []
    answering = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        arrived.append((json.loads(await request.read())["data"]["id"], request.headers["webhook-id"]))
        await answering.wait()
        return web.Response(status=204)

    runner, target = await listen(take)
    allow = ("--webhook-allow", "127.0.0.1:*", "--webhook-loopback")
    process, client = await cli.serve(*allow)
    jobs = [await submit(client, f"crash-{number}", target) for number in range(2)]
    door("crash-0").set()
    await until(lambda: len(arrived) == 1, timeout=60)
    process.kill()
    await process.communicate()
    door("crash-1").set()
    await workers.job(jobs[1], tenant="acme").watch(timeout=60)
    listed = json.loads((await cli("webhooks", "ls", "-o", "json"))[1])
    states = {each["job"]: each["state"] for each in listed}
    assert (states[jobs[0]], states[jobs[1]]) == ("claimed", "waiting")
    answering.set()
    await cli.serve(*allow)
    await until(lambda: {job for job, _ in arrived[1:]} == set(jobs), timeout=60)
    assert len(set(arrived)) == 2
    await runner.cleanup()


async def submit(client: aiohttp.ClientSession, door: str, target: str) -> str:
    async with client.post("/v1/acme/jobs/hold", json=door, headers={"Mesh-Webhook": target}) as answer:
        assert answer.status == 202
        return str((await answer.json())["job"])


async def test_sigterm_ends_it_in_good_order_and_the_log_has_no_secret(cli: Cli, workers: Mesh) -> None:
    process, client = await cli.serve()
    token = client.headers["Authorization"].split()[1]
    async with client.post("/v1/acme/jobs/hold", json="term") as answer:
        path = answer.headers["Location"]
    async with client.get(f"{path}/events") as stream:
        await stream.content.readany()
        process.send_signal(signal.SIGTERM)
        assert (await stream.content.read()).endswith(b"come back\n\n")
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"gateway.draining" in err
    assert b"Traceback" not in err
    assert token.encode() not in err
    door("term").set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can ask another process")
async def test_its_soft_limit_of_open_files_is_no_bound(cli: Cli) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        process, _ = await cli.serve()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 512


async def test_secrets_stay_in_files_and_a_bound_token_is_printed_once(cli: Cli) -> None:
    (_, token, _), (_, secret, _) = await asyncio.gather(cli("token"), cli("secret", "-o", "json"))
    assert secret_in(token.strip()).startswith("mgw_")
    assert secret_in(json.loads(secret)["secret_file"]).startswith("whsec_")
    code, out, err = await cli("token", "--tenant", "acme", "-o", "json")
    made = json.loads(out)
    assert (code, made["tenants"]) == (0, ["acme"])
    assert made["token"] not in secret_in(f"{token.strip()}s.toml") + err
    _, client = await cli.serve()
    mine = {"Authorization": f"Bearer {made['token']}"}
    for tenant, status in (("acme", 200), ("globex", 403)):
        async with client.get(f"/v1/{tenant}/jobs", headers=mine) as answer:
            assert answer.status == status


async def test_nothing_but_a_running_gateway_loads_what_it_is_made_of(cli: Cli) -> None:
    program = "import sys; from mesh.cli.main import main\ntry:\n main()\nfinally:\n print(sorted(sys.modules), file=sys.stderr)"
    for arguments in (("token",), ("webhooks", "ls")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, "gateway", *arguments, cwd=cli.folder, env=cli.env, stdout=-1, stderr=-1
        )
        _, err = await process.communicate()
        assert process.returncode == 0
        assert not [name for name in ("aiohttp", "yarl", "tenacity") if f"'{name}'".encode() in err]


async def test_what_cannot_be_served_says_what_to_do(cli: Cli) -> None:
    (cli.folder / "open").write_text("everybody reads this")
    (cli.folder / "open").chmod(0o644)
    taken = cli.env["NATS_URL"].removeprefix("nats://")
    cases = (
        (("http", "--listen", "0.0.0.0:0"), 2, "--insecure"),
        (("http", "--token-file", "open"), 2, "chmod 600"),
        (("http", "--server", "127.0.0.1:1"), 3, "127.0.0.1:1"),
        (("http", "--listen", taken), 3, "cannot listen"),
        (("webhooks", "retry"), 2, "--all"),
        (("webhooks", "drop", "wnothing"), 2, "webhooks ls"),
    )
    for (_, code, says), (returned, out, err) in zip(
        cases, await asyncio.gather(*(cli(*arguments) for arguments, _, _ in cases)), strict=True
    ):
        assert (returned, out) == (code, ""), err
        assert says in err
        assert "Traceback" not in err


async def test_a_dead_webhook_is_listed_sent_anew_and_dropped(cli: Cli, workers: Mesh) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=500)

    runner, target = await listen(refuse)
    _, client = await cli.serve("--webhook-allow", "127.0.0.1:*", "--webhook-loopback", "--webhook-attempts", "1")
    door("dead").set()
    job = await submit(client, "dead", target)

    peer = workers.peer
    ledger = Ledger(peer.store, peer.subjects, peer.clock)

    async def dead() -> Entry:
        async with asyncio.timeout(60):
            while True:
                found = [each for each in await ledger.all() if each.hook.job == job and each.hook.state == "dead"]
                if found:
                    return found[0]
                await asyncio.sleep(0.05)

    first = await dead()
    listed = json.loads((await cli("webhooks", "ls", "--state", "dead", "-o", "json"))[1])
    assert (first.hook.job, 1, 500) in [(each["job"], each["attempts"], each["status"]) for each in listed]
    code, _, err = await cli("webhooks", "retry", first.hook.id)
    assert (code, err.strip()) == (0, "1 to be sent again")
    assert (await dead()).revision > first.revision
    assert (await cli("webhooks", "drop", first.hook.id))[0] == 0
    assert not [each for each in await ledger.all() if each.hook.job == job]
    await runner.cleanup()
