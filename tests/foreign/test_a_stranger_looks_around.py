"""A stranger finds out who is there: section 6 of the document."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.foreign import kept
from tests.foreign.our_agents import Clerk
from tests.foreign.speech import Speaker

pytestmark = pytest.mark.server


async def listed(stranger: Speaker) -> dict[str, Any]:
    """Who is there: records written by the very start of a process that holds its lease."""
    leases = await kept.everything(stranger.wire, f"{stranger.names}leases")
    records = await kept.everything(stranger.wire, f"{stranger.names}registry")
    living = {lease["process"]: lease["incarnation"] for lease in leases.values()}
    return {key: each for key, each in records.items() if living.get(each["process"]) == each["incarnation"]}


async def test_the_buckets_tell_who_is_there_and_what_they_can_do(stranger: Speaker, ours: Mesh) -> None:
    await ours.host(Clerk, instance="desk")
    (record,) = (await listed(stranger)).values()
    assert (record["agent"], record["instance"], record["state"]) == ("clerk", "desk", "ready")
    assert record["labels"] == {"floor": "first"}
    offered = {each["name"]: each for each in record["capabilities"]}
    assert (offered["text.upper"]["command"], offered["text.upper"]["effect"]) == ("upper", "pure")
    assert {each["command"] for each in record["commands"]} == {"count", "repeat", "fail"}
    schema = (await kept.get(stranger.wire, f"{stranger.names}schemas", offered["text.upper"]["input"])).value
    assert '"text":{"type":"string"}' in json.dumps(schema, separators=(",", ":"))
    canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(canonical).hexdigest() == offered["text.upper"]["input"]


async def test_who_leaves_is_not_listed(stranger: Speaker, server: Any, namespace: str) -> None:
    async with Mesh.connect(server.url, namespace=namespace, process="guest") as guest:
        await guest.host(Clerk)
        assert set(await listed(stranger)) == {"guest.clerk.guest"}
    assert await listed(stranger) == {}


async def test_beats_tell_load_and_standing_bids(stranger: Speaker, ours: Mesh) -> None:
    beats: list[Any] = []
    stranger.wire.subscribe(f"{stranger.ns}.beat.*", lambda message: beats.append(json.loads(message.data)))
    await ours.host(Clerk, instance="desk")
    await until(lambda: any(each.get("figures") for each in beats))
    beat = next(each for each in beats if each.get("figures"))
    assert beat["figures"]["clerk.desk"]["capacity"] == 4
    assert beat["figures"]["clerk.desk"]["bids"]["text.upper"]["capacity"] == 8


async def test_whoever_doubts_that_a_process_lives_asks_it(stranger: Speaker, ours: Mesh) -> None:
    await ours.host(Clerk, instance="desk")
    incarnation = (await kept.get(stranger.wire, f"{stranger.names}leases", "proc.ours")).value["incarnation"]
    answers: list[Any] = []
    stranger.wire.subscribe(f"{stranger.ns}.roll.{stranger.process}.>", answers.append)

    def ask(process: str, incarnation: str) -> None:
        reply = f"{stranger.ns}.roll.{stranger.process}.{process}.{secrets.token_hex(4)}"
        stranger.wire.publish(f"{stranger.ns}.live.{process}.{incarnation}", reply=reply)

    ask("ours", incarnation)
    await until(lambda: len(answers) == 1)
    assert json.loads(answers[0].data).keys() >= {"process", "incarnation", "number"}
    ask("ours", "an-earlier-start")
    await until(lambda: len(answers) == 2)
    assert answers[1].status == "503"


async def test_every_instance_answers_the_discovery_of_nats_micro(stranger: Speaker, ours: Mesh) -> None:
    await ours.host(Clerk, instance="desk")
    (ping,) = await stranger.wire.request("$SRV.PING.clerk.ours-clerk-desk")
    assert json.loads(ping.data)["type"] == "io.nats.micro.v1.ping_response"
    (info,) = await stranger.wire.request("$SRV.INFO.clerk.ours-clerk-desk")
    endpoints = {each["name"]: each for each in json.loads(info.data)["endpoints"]}
    assert endpoints["upper"]["subject"] == f"{stranger.ns}.rpc.ours.clerk.desk.*"
    (stats,) = await stranger.wire.request("$SRV.STATS.clerk.ours-clerk-desk")
    assert json.loads(stats.data)["endpoints"][0]["num_requests"] == 0
