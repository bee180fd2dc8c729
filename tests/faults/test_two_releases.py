"""Two releases of the mesh side by side on one server.

Faults: a peer that writes the wire's last version, or the next; records, leases, beats, replies and journal entries with fields
that this release does not know; and this release together with the next one, which is a copy of its source with the version
raised, in processes of their own, that ask, call and do jobs for one another.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from mesh.client.mesh import Mesh
from mesh.protocols.envelope import VERSION, Envelope, decode
from mesh.protocols.naming.jobs import shard_of
from mesh.testing.virtual_time import until
from tests.faults import junk
from tests.faults.crew import Crew
from tests.faults.expectations import listed, soon, told
from tests.faults.releases import tree_with_version

pytestmark = [pytest.mark.server, pytest.mark.fault]

ROOT = "mesh.default"
NEWS = {"from_the_future": {"a": [1, None]}, "zz": "?"}
"""Fields that nobody here knows."""


class Foreigner:
    """A process of another release, written by hand: it asks, and it lives in the registry and serves."""

    def __init__(self, client: Client, release: str) -> None:
        self.client = client
        self.release = release
        self.seen: list[dict[str, Any]] = []

    async def ask(self, process: str, **fields: Any) -> Envelope:
        """What a process answers to a command of ours."""
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def on_answer(message: Msg) -> None:
            answers.put_nowait(message.data)

        token = f"t{len(self.client._subs)}"
        heard = await self.client.subscribe(f"{ROOT}.rep.foreigner.{process}.{token}", cb=on_answer)
        data = json.dumps(junk.envelope("foreigner", **fields)).encode()
        await self.client.publish(
            f"{ROOT}.rpc.{process}.worker.{process}.foreigner", data, reply=f"{ROOT}.rep.foreigner.{process}.{token}"
        )
        async with asyncio.timeout(30):
            answer = await answers.get()
        await heard.unsubscribe()
        self.seen.append(json.loads(answer))
        return decode(answer)

    async def live(self) -> None:
        """Be listed with the agent `elder`, tell figures, and serve its one command."""
        await self.client.subscribe(f"{ROOT}.live.foreigner.life", cb=self._probed)
        await self.client.subscribe(f"{ROOT}.rpc.foreigner.>", cb=self._asked)
        lease = {"process": "foreigner", "host": "abroad", "pid": 1, "incarnation": "life", "release": self.release}
        connection = {"server_id": self.client._server_info["server_id"], "client_id": self.client.client_id}
        capability = {"name": "elder.advise", "command": "advise", "effect": "pure", **NEWS}
        record: dict[str, Any] = {
            "agent": "elder",
            "version": "9.0.0",
            "instance": "e",
            "process": "foreigner",
            "host": "abroad",
        }
        record |= {"pid": 1, "started_at": 1.0, "state": "ready", "incarnation": "life", "capabilities": [capability]}
        await self._put("leases", "proc.foreigner", {**lease, **connection, **NEWS})
        await self._put("registry", "foreigner.elder.e", {**record, **NEWS})

    async def beat(self) -> None:
        """Tell figures, with a bid, in words of our own."""
        await self.client.publish(f"{ROOT}.beat.foreigner", self._beat())

    def _beat(self) -> bytes:
        bid = {"price": 0.5, "latency": 0.25, "success": 1.0, "capacity": 3, **NEWS}
        figures = {"running": 1, "capacity": 4, "bids": {"elder.advise": bid}, **NEWS}
        beat = {"process": "foreigner", "incarnation": "life", "number": 1, "figures": {"elder.e": figures}}
        return json.dumps({**beat, **NEWS}).encode()

    async def _put(self, bucket: str, key: str, value: dict[str, Any]) -> None:
        await self.client.jetstream().publish(f"$KV.mesh_default_{bucket}.{key}", json.dumps(value).encode())

    async def _probed(self, message: Msg) -> None:
        await self.client.publish(message.reply, self._beat())

    async def _asked(self, message: Msg) -> None:
        asked = json.loads(message.data)
        self.seen.append(asked)
        sender = {"agent": "elder", "instance": "e", "process": "foreigner", **NEWS}
        usage = {"tokens_in": 3, "duration": 0.1, "exit_status": "success", **NEWS}
        answer = {"v": asked["v"], "id": "a", "kind": "reply", "name": asked["name"], "sender": sender, "usage": usage}
        answer |= {"correlation": asked["correlation"], "causation": asked["id"], "payload": "wait", **NEWS}
        await self.client.publish(message.reply, json.dumps(answer).encode())


@pytest.fixture
def foreigner(raw: Client) -> Callable[[str], Foreigner]:
    return lambda release: Foreigner(raw, release)


async def test_the_last_version_and_unknown_fields_are_served_and_the_next_version_is_told_so(
    crew: Crew, mesh: Mesh, foreigner: Callable[[str], Foreigner]
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    older = foreigner("0")
    for version, fields in ((VERSION - 1, {}), (VERSION, NEWS), (VERSION - 1, {"ext": NEWS, "constraints": NEWS})):
        answer = await older.ask("one", v=version, **fields)
        assert (answer.fault, bytes(answer.payload)) == (None, b'["one","hi"]')
        assert answer.v == version, "who writes a version may be unable to read a later one"
    for version in (VERSION + 1, VERSION + 50, -1):
        answer = await older.ask("one", v=version, kind="decree", **NEWS)
        assert answer.fault is not None
        assert (answer.fault.code, answer.fault.detail["got"]) == ("version-unsupported", version)
        assert answer.fault.detail["supported"] == [VERSION - 1, VERSION]


async def test_a_peer_of_the_next_release_is_listed_bids_and_serves_with_fields_nobody_knows(
    mesh: Mesh, foreigner: Callable[[str], Foreigner]
) -> None:
    newer = foreigner(str(VERSION + 1))
    await newer.live()
    await listed(mesh, "foreigner", agent="elder")
    await newer.beat()
    listing = mesh.directory.instances("elder")[0]
    await until(lambda: listing.figures.running == 1)
    assert listing.figures.bids["elder.advise"].price == 0.5
    assert await mesh.ask("elder.advise") == "wait"
    assert {each["v"] for each in newer.seen} == {VERSION}
    assert {each.process for each in await mesh.directory.verified(20)} == {"foreigner"}


async def test_a_peer_of_the_last_release_is_spoken_to_in_its_version(
    crew: Crew, mesh: Mesh, foreigner: Callable[[str], Foreigner], raw: Client
) -> None:
    older = foreigner(str(VERSION - 1))
    await older.live()
    await crew.start("boss", agents=("foreman",))
    await listed(mesh, "foreigner", agent="elder")
    events: list[dict[str, Any]] = []

    async def on_event(message: Msg) -> None:
        events.append(json.loads(message.data))

    await raw.subscribe(f"{ROOT}.evt.>", cb=on_event)
    await told(raw)
    assert await mesh.ask("elder.advise") == "wait"
    await mesh.tell("elder.advise")
    await mesh.emit("shop.opened", "x")
    await until(lambda: len(older.seen) == 2 and len(events) == 1)
    assert {each["v"] for each in [*older.seen, *events]} == {VERSION - 1}
    mesh.directory.bury("foreigner", "it has left")
    await mesh.emit("shop.opened", "x")
    await until(lambda: len(events) == 2)
    assert events[-1]["v"] == VERSION, "nobody is left who could not read it"


async def test_journal_entries_with_fields_that_nobody_knows_are_read(crew: Crew, mesh: Mesh, raw: Client) -> None:
    await crew.start("one", workflow=True)
    await listed(mesh, "one")
    crew.let("held")
    job = await mesh.submit("walk", ["held"])
    result = await job.result(30)
    subjects = mesh.peer.subjects
    stored = await mesh.peer.store.read(subjects.job_stream(shard_of(job.id)), subjects.job("default", job.id))
    previous = 0
    for each in stored:
        entry = json.loads(each.data)
        entry |= {"job": "copy", "previous": previous, "head": {**entry["head"], **NEWS}, **NEWS}
        entry["events"] = [{**event, **NEWS} for event in entry["events"]]
        acked = await raw.jetstream().publish(subjects.job("default", "copy"), json.dumps(entry).encode())
        previous = acked.seq
    copy = mesh.job("copy")
    assert await copy.result(30) == result
    state, original = await copy.state(), await job.state()
    assert (state.status, list(state.steps), state.void) == (original.status, list(original.steps), original.void)


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_with_version(tmp_path_factory.mktemp("next"), VERSION + 1)


@pytest.fixture
async def both(crew: Crew, next_release: Path) -> AsyncIterator[None]:
    """A process of each release; each hosts an agent that asks, one that works, and drives jobs."""
    await asyncio.gather(
        crew.start("old", agents=("worker", "foreman"), instance="old", workflow=True, capacity=4),
        crew.start("new", agents=("worker", "foreman"), instance="new", workflow=True, capacity=4, source=next_release),
    )
    yield
    assert not crew.mishaps("old", "new")


async def test_this_release_and_the_next_ask_call_and_work_for_one_another(both: None, crew: Crew, mesh: Mesh) -> None:
    await listed(mesh, "old", "new")
    await listed(mesh, "old", "new", agent="foreman")
    assert {each.process: each.release for each in mesh.directory.processes()} == {
        "old": str(VERSION),
        "new": str(VERSION + 1),
    }
    for boss, worker in (("old", "new"), ("new", "old")):
        said = {"worker": worker, "text": "x"}
        found = await soon(lambda boss=boss, said=said: mesh.ask(f"foreman.{boss}", said, command="direct"))
        assert found == [worker] * 4


async def test_jobs_go_on_across_releases_and_events_are_heard_by_both(both: None, crew: Crew, mesh: Mesh) -> None:
    await listed(mesh, "old", "new", agent="jobs")
    for name in ("old", "new"):
        await mesh.ask(f"foreman.{name}", name, command="announce")
    assert sorted(await crew.did("heard-old", 2)) == sorted(await crew.did("heard-new", 2)) == ["new", "old"]
    job = await mesh.submit("walk", ["first", "second"])
    crew.let("first")
    await crew.did("begun-second")
    state = await job.state()
    assert state.head is not None
    owner = state.head.owner
    crew.kill(owner)
    crew.let("second")
    other = ({"old", "new"} - {owner}).pop()
    result = await job.result(40)
    assert (result[0], result[2]) == (owner, other) or result[2] == other
    assert len(crew.effects("step")) == len(crew.effects("done-first")) == len(crew.effects("done-second")) == 1
