"""A user with the permissions of section 12, and no more, is a full member and speaks in nobody else's name."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.foreign import kept
from tests.foreign.agent import ForeignAgent
from tests.foreign.membership import Member
from tests.foreign.our_agents import Clerk, letter
from tests.foreign.speech import Speaker
from tests.foreign.wire import Wire
from tests.servers import RealServer

pytestmark = pytest.mark.server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md"


def permissions() -> dict[str, list[str]]:
    found = re.search(r"^```json permissions\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    lists: dict[str, list[str]] = json.loads(found[1])
    return {
        what: [each.replace("<ns>", "mesh.default").replace("<n>", "default") for each in subjects]
        for what, subjects in lists.items()
    }


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    user = {"user": "me", "password": "me", "permissions": permissions()}
    with RealServer(tmp_path_factory.mktemp("guarded"), users=json.dumps(user)) as running:
        yield running


@pytest.fixture
async def confined(guarded: RealServer) -> AsyncIterator[Wire]:
    wire = await Wire.open(guarded.url, user="me", **{"pass": "me"})
    yield wire
    await wire.close()


@pytest.fixture
async def host(guarded: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(guarded.url, process="host") as mesh:
        await mesh.host(Clerk, instance="desk")
        await mesh.host_workflow(letter)
        yield mesh


async def echo(payload: Any, _: Any) -> Any:
    return payload


async def test_everything_on_the_page_can_be_done_with_these_permissions(confined: Wire, host: Mesh) -> None:
    member = Member(confined, "default", "me")
    await member.join()
    await kept.put(confined, "mesh_default_schemas", "0" * 64, {})
    agent = ForeignAgent(member, "mirror", "text.echo", "echo", echo)
    await agent.start()
    await until(lambda: bool(host.directory.lookup("text.echo")))
    assert await host.ask("text.echo", {"a": "x" * 70_000}) == {"a": "x" * 70_000}
    assert await host.call("text.echo", {"a": 1}, mode="broadcast") == {"a": 1}
    assert await host.directory.ping("me", timeout=30) > 0.0

    speaker = Speaker(confined, "default", "me", "mirror")
    assert (
        len((await speaker.ask("host.clerk.desk", "repeat", {"text": "x", "times": 70_000}).next())["payload"])
        == 70_000
    )
    call = speaker.call("text.upper", {"conversation": "talk", "window": 20.0})
    assert (await call.next())["name"] == "propose"
    assert "host.clerk.desk" in await kept.everything(confined, "mesh_default_registry")
    event = speaker.envelope("event", "tea.ready")
    await host.emit("so.that", "the stream is there")
    await kept.append(confined, "mesh.default.evt.default.mirror.tea.ready", json.dumps(event).encode())
    confined.publish("mesh.default.now.default.mirror.tea.ready", json.dumps([event, event]).encode())
    confined.publish("mesh.default.tune.me", b"{}")
    confined.publish("mesh.default.tel.me", b'{"events": []}')

    (answer,) = await confined.request("mesh.default.submit.default.letter", b'{"text": "x"}')
    journal = await kept.journal(confined, "default", "default", json.loads(answer.data)["job"])
    async with asyncio.timeout(30):
        while json.loads((await journal.get()).data)["head"]["state"] != "completed":
            pass
    await kept.append(confined, "mesh.default.in.default.letter", b'{"text": "y"}')
    await kept.put_object(confined, "mesh_default_objects", b"{}")
    await member.leave()
    assert confined.refused == []


@pytest.mark.parametrize(
    "subject",
    [
        "mesh.default.rpc.host.clerk.desk.host",
        "mesh.default.rep.host.host.t1",
        "mesh.default.evt.default.clerk.tea.ready",
        "mesh.default.now.default.clerk.tea.ready",
        "mesh.default.tel.host",
        "mesh.default.beat.host",
        "$KV.mesh_default_leases.proc.host",
        "$KV.mesh_default_registry.host.clerk.desk",
        "mesh.default.job.default.8.j1",
        "$JS.API.STREAM.PURGE.mesh_default_JOB_8",
        "$JS.API.CONSUMER.CREATE.mesh_default_IN.x.mesh.default.in.default.letter",
    ],
)
async def test_the_server_lets_it_say_nothing_in_anothers_name(confined: Wire, subject: str) -> None:
    confined.publish(subject, b"{}")
    await until(lambda: bool(confined.refused))
    assert "Permissions Violation for Publish" in confined.refused[0]


@pytest.mark.parametrize("subject", ["mesh.default.rpc.host.>", "mesh.default.rep.>", "_INBOX.>"])
async def test_the_server_lets_it_hear_nothing_that_is_meant_for_others(confined: Wire, subject: str) -> None:
    confined.subscribe(subject, lambda message: None)
    await until(lambda: bool(confined.refused))
    assert "Permissions Violation for Subscription" in confined.refused[0]
