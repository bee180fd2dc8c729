"""Three servers: their leaders die, and owners end up on the wrong side of a cut."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.job_events import OwnerClaimed
from mesh.testing.virtual_time import until
from mesh.transport.nats.api import call
from mesh.transport.nats.bus import NatsBus
from tests.chaos.evidence import Evidence, streams
from tests.chaos.fleet import Fleet
from tests.chaos.load import under_load
from tests.chaos.plans import Act
from tests.chaos.scenario import Scenario, not_quick, until_owned
from tests.cluster import Cluster, leader_of
from tests.faults.expectations import joined, passes, soon

pytestmark = [pytest.mark.server, pytest.mark.fault]


async def test_10_the_leader_of_a_stream_is_killed_every_15_s(
    chaos: Scenario, cluster: Cluster, cluster_fleet: Fleet, cluster_mesh: Mesh
) -> None:
    """kill -9 a journal stream's leader every 15 s, three nodes · nobody who is alive loses a job to another, and every job goes on"""
    fleet, mesh = cluster_fleet, cluster_mesh
    kills = chaos.pick(1, 8)
    await fleet.start("one", "two")
    await fleet.start("hand", works=True, drives=False)
    bus = mesh.peer.bus
    assert isinstance(bus, NatsBus)
    there = await soon(lambda: streams(bus))
    assert {await soon(lambda stream=stream: _replicas(bus, stream)) for stream in there} == {3}
    journals = [each for each in there if "_JOB" in each]
    killed: list[float] = []
    async with under_load(fleet, mesh):
        for _ in range(kills):
            await asyncio.sleep(1)
            led = chaos.chance.choice(journals)
            leader = await passes(lambda led=led: leader_of(bus, led), bool, within=60)
            cluster.kill(leader)
            killed.append(time.time())
            await asyncio.sleep(chaos.pick(2, 6))
            await cluster.start(leader)
            await cluster.ready()
            await asyncio.sleep(chaos.pick(0, 8))
    await fleet.over(mesh, within=240)
    evidence = await chaos.conclude(
        fleet, cluster.url, f"{kills} leaders killed", "nobody was deposed", since=killed, worst=True
    )
    assert {job: owners for job, owners in _owners(evidence).items() if len(set(owners)) > 1} == {}
    assert not fleet.mishaps("one", "two", "hand")


WAYS = {"both": {}, "hears": {"hears": True}, "is-heard": {"is_heard": True}}


@pytest.mark.parametrize(
    "way", [pytest.param(way, id=f"11-{way}", marks=() if way == "both" else not_quick) for way in WAYS]
)
async def test_the_owners_server_is_cut_off_from_the_quorum(
    chaos: Scenario, cluster: Cluster, cluster_fleet: Fleet, cluster_mesh: Mesh, way: str
) -> None:
    """the owner's server is cut off from the quorum · a successor drives the job, and the owner adds nothing to it"""
    chaos.fault = f"cut the owner off from the quorum: {'both ways' if way == 'both' else f'one way, it {way}'}"
    fleet, mesh = cluster_fleet, cluster_mesh
    url = {name: server.url for name, server in cluster.servers.items()}
    await fleet.start("cut", url=url["a"])
    plan = [Act(key="first"), Act(key="second", hold="second"), Act(key="third", hold="third"), Act(key="fourth")]
    jobs = [await fleet.hand_in(mesh, plan) for _ in range(chaos.pick(4, 16))]
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/second") for job in jobs), timeout=60)
    await fleet.start("other", url=f"{url['b']},{url['c']}")
    async with joined(f"{url['b']},{url['c']}", "onlooker") as onlooker:
        cluster.isolate("a", **WAYS[way])
        fleet.doom.died("cut", "cut off")
        for job in jobs:
            await until_owned(onlooker, job.id, by="other", timeout=60)
        fleet.let("second")
        await until(lambda: all(fleet.ledger.asked(f"{job.id}/third") for job in jobs), timeout=60)
        mended = time.time()
        cluster.mend()
        fleet.let("third")
        await fleet.over(onlooker, within=150)
        await chaos.conclude(fleet, cluster.url, f"{len(jobs)} jobs' owner cut off", "a successor finished them")
    late = [each for each in fleet.ledger.requests() if each.pid == fleet.pid("cut") and each.at >= mended]
    assert late == []
    assert not fleet.mishaps("cut", "other")


def _owners(evidence: Evidence) -> dict[str, list[str]]:
    """Who claimed each job, in order."""
    return {
        job: [each.process for record in records for each in record.entry.events if isinstance(each, OwnerClaimed)]
        for job, records in evidence.journals.items()
    }


class _Config(msgspec.Struct):
    num_replicas: int


class _Info(msgspec.Struct):
    config: _Config


async def _replicas(bus: NatsBus, stream: str) -> int:
    return msgspec.json.decode(await call(bus, f"STREAM.INFO.{stream}"), type=_Info).config.num_replicas
