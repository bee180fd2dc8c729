"""A stranger takes its place among us, is found and asked, and is missed when it is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import AgentLost, Semantic, UnknownCommand
from mesh.registry.lease import NameTaken as NameTakenHere
from mesh.testing.virtual_time import until
from tests.foreign import kept
from tests.foreign.agent import ForeignAgent, Trouble
from tests.foreign.membership import Member, NameTaken
from tests.foreign.our_agents import Clerk
from tests.foreign.wire import Wire
from tests.servers import RealServer

pytestmark = pytest.mark.server


async def reverse(payload: Any, progress: Any) -> Any:
    if payload.get("text") == "?":
        raise Trouble("illegible", "not a word of it")
    progress("turning")
    await asyncio.sleep(payload.get("pause", 0))
    return {"text": payload["text"][::-1]}


@pytest.fixture
async def member(wire: Wire, namespace: str) -> AsyncIterator[Member]:
    member = Member(wire, namespace, "foreign-1")
    yield member
    member.stop()


@pytest.fixture
async def mirror(member: Member, ours: Mesh) -> ForeignAgent:
    await member.join()
    mirror = ForeignAgent(member, "mirror", "text.reverse", "reverse", reverse)
    await mirror.start(labels={"made-in": "elsewhere"})
    await until(lambda: bool(ours.directory.lookup("text.reverse")))
    return mirror


async def test_it_is_found_by_capability_and_label_with_its_figures(mirror: ForeignAgent, ours: Mesh) -> None:
    (found,) = ours.directory.lookup("text.reverse", labels={"made-in": "elsewhere"})
    assert (found.key, found.record.host) == ("foreign-1.mirror.foreign-1", "far-away")
    await until(lambda: found.figures.bids.get("text.reverse") is not None)
    assert found.figures.bids["text.reverse"].latency == 0.01


async def test_it_is_asked_and_answers(mirror: ForeignAgent, ours: Mesh) -> None:
    heard: list[Any] = []
    assert await ours.ask("text.reverse", text="abc", on_progress=heard.append) == {"text": "cba"}
    assert heard == ["turning"]
    assert await ours.ask("mirror", text="abc", command="reverse", timeout=30) == {"text": "cba"}


async def test_its_faults_arrive_typed_and_unknown_ones_as_their_class(mirror: ForeignAgent, ours: Mesh) -> None:
    with pytest.raises(UnknownCommand):
        await ours.ask("mirror", text="x", command="polish")
    with pytest.raises(Semantic, match="not a word") as caught:
        await ours.ask("text.reverse", text="?")
    assert caught.value.origin == "mirror.foreign-1"


async def test_a_large_question_reaches_it(mirror: ForeignAgent, ours: Mesh) -> None:
    assert await ours.ask("text.reverse", text="ab" * 50_000) == {"text": "ba" * 50_000}


async def test_an_abandoned_question_is_cancelled(mirror: ForeignAgent, ours: Mesh) -> None:
    asked = asyncio.ensure_future(ours.ask("text.reverse", text="abc", pause=60, timeout=60))
    await until(lambda: bool(mirror.heard))
    asked.cancel()
    await until(lambda: mirror.heard[-1]["kind"] == "control")
    assert mirror.heard[-1]["payload"] == {"id": mirror.heard[0]["id"]}


async def test_it_streams(member: Member, ours: Mesh) -> None:
    async def letters(payload: Any, _: Any) -> Any:
        for letter in payload["text"]:
            yield letter

    await member.join()
    await ForeignAgent(member, "speller", "text.spell", "spell", letters).start(can={"streams": True})
    await until(lambda: bool(ours.directory.lookup("text.spell")))
    assert [each async for each in ours.stream("text.spell", {"text": "abc"})] == ["a", "b", "c"]
    assert await ours.call("text.spell", text="abc") == ["a", "b", "c"]


async def test_it_answers_roll_calls(mirror: ForeignAgent, ours: Mesh) -> None:
    assert await ours.directory.ping("foreign-1", timeout=30) > 0.0
    before = mirror.member.asked
    (listing,) = await ours.directory.verified(timeout=30)
    assert (listing.key, listing.state) == ("foreign-1.mirror.foreign-1", "ready")
    assert mirror.member.asked > before


async def test_a_directory_that_opens_later_finds_it(
    mirror: ForeignAgent, server: Any, namespace: str, ours: Mesh
) -> None:
    async with Mesh.connect(server.url, namespace=namespace) as late:
        assert [each.key for each in late.directory.lookup("text.reverse")] == ["foreign-1.mirror.foreign-1"]


async def test_it_is_gone_at_once_when_its_connection_ends(mirror: ForeignAgent, ours: Mesh) -> None:
    why: list[str] = []
    ours.directory.on_change(lambda change: why.append(change.why) if change.kind == "process-down" else None)
    mirror.member.stop()
    await mirror.member.wire.close()
    await until(lambda: not ours.directory.lookup("text.reverse"))
    assert why != []
    assert "its lease ended" not in why, "that would have taken three seconds"
    assert not ours.directory.alive("foreign-1")


async def test_what_was_asked_of_it_ends_when_its_connection_ends(mirror: ForeignAgent, ours: Mesh) -> None:
    asked = asyncio.ensure_future(ours.ask("text.reverse", text="abc", pause=60, timeout=60))
    await until(lambda: bool(mirror.heard))
    mirror.member.stop()
    await mirror.member.wire.close()
    with pytest.raises(AgentLost):
        await asyncio.wait_for(asked, 30)


async def test_it_is_gone_when_its_lease_runs_out(ours: Mesh, wire: Wire, namespace: str) -> None:
    member = Member(wire, namespace, "foreign-1", seconds=1)
    await member.join()
    await ForeignAgent(member, "mirror", "text.reverse", "reverse", reverse).start()
    first = member.revision
    await until(lambda: member.revision >= first + 4)  # it was renewed for longer than it lasts
    await until(lambda: bool(ours.directory.lookup("text.reverse")))
    member.stop()
    await until(lambda: not ours.directory.lookup("text.reverse"))


async def test_it_leaves_politely_and_may_come_back(mirror: ForeignAgent, ours: Mesh, namespace: str) -> None:
    wire = mirror.member.wire
    await mirror.member.leave()
    await until(lambda: not ours.directory.lookup("text.reverse"))
    assert await kept.everything(wire, f"{mirror.member.names}registry") == {}
    again = Member(wire, namespace, "foreign-1")
    await again.join()
    again.stop()
    await until(lambda: ours.directory.alive("foreign-1"))


async def test_a_lease_purged_by_mistake_is_written_again(mirror: ForeignAgent, ours: Mesh) -> None:
    ours.directory.bury("foreign-1", "a rumour")
    assert not ours.directory.lookup("text.reverse")
    await until(lambda: bool(ours.directory.lookup("text.reverse")))


async def test_one_name_is_held_by_one_process(
    mirror: ForeignAgent, ours: Mesh, server: Any, namespace: str, wire: Wire
) -> None:
    with pytest.raises(NameTaken):
        await Member(wire, namespace, "foreign-1").join()
    async with Mesh.connect(server.url, namespace=namespace, process="foreign-1") as second:
        with pytest.raises(NameTakenHere):
            await second.host(Clerk)


async def test_a_record_is_believed_of_the_present_start_only(mirror: ForeignAgent, ours: Mesh) -> None:
    await mirror.member.list("ghost", "g1", incarnation="an-earlier-start")
    await mirror.member.list("shadow", "s1")
    await until(lambda: bool(ours.directory.instances("shadow")))
    assert not ours.directory.instances("ghost")


async def test_our_own_buckets_are_brought_to_shape_when_a_stranger_was_first(
    member: Member, server: Any, namespace: str
) -> None:
    await member.join()
    async with Mesh.connect(server.url, namespace=namespace) as mesh:
        await mesh.host(Clerk)
        assert mesh.directory.alive("foreign-1")
    info = await kept.api(member.wire, f"STREAM.INFO.KV_{member.names}leases")
    assert info["config"]["max_msgs_per_subject"] == 1


async def test_what_is_no_record_is_ignored(mirror: ForeignAgent, ours: Mesh) -> None:
    wire, names = mirror.member.wire, mirror.member.names
    await kept.put(wire, names + "registry", "foreign-1.liar.l1", {"agent": "liar"})
    await kept.append(wire, f"$KV.{names}registry.foreign-1.noise.n1", b"{")
    wire.publish(f"{mirror.member.ns}.beat.foreign-1", json.dumps({"process": "ours"}).encode())
    await mirror.member.list("shadow", "s1")
    await until(lambda: bool(ours.directory.instances("shadow")))
    assert ours.directory.agents() == ["mirror", "shadow"]


async def test_after_the_server_was_restarted_it_is_there_again(tmp_path: Path) -> None:
    with RealServer(tmp_path) as server:
        async with Mesh.connect(server.url, process="ours") as ours:
            member = Member(await Wire.open(server.url), "default", "foreign-1")
            await member.join()
            mirror = ForeignAgent(member, "mirror", "text.reverse", "reverse", reverse)
            await mirror.start()
            await until(lambda: bool(ours.directory.lookup("text.reverse")))
            server.restart()
            await member.join_again(await Wire.open(server.url))
            mirror.listen()
            await until(lambda: ours.connected and bool(ours.directory.lookup("text.reverse")))
            assert await ours.ask("text.reverse", text="abc") == {"text": "cba"}
            await until(lambda: _connection_of(ours) == (member.wire.info["server_id"], member.wire.info["client_id"]))
            member.stop()
            await member.wire.close()
            await until(lambda: not ours.directory.lookup("text.reverse"))


def _connection_of(ours: Mesh) -> tuple[str, int] | None:
    lease = ours.directory.process("foreign-1")
    return None if lease is None else (lease.server_id, lease.client_id)
