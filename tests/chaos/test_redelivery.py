"""Everything comes three times, and not in order."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.submission import Terms, headers_of, job_id_for_key
from tests.chaos.fleet import Fleet, Handed
from tests.chaos.plans import acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

PATIENCE = 60.0
COPIES = 3


async def test_12_everything_comes_three_times_and_not_in_order(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """redeliver and reorder everything three times · every job is one job, every effect one effect"""
    jobs = chaos.pick(15, 600)
    everybody = ("one", "two", "hand")
    await fleet.start("one", "two", copies=COPIES)
    await fleet.start("hand", works=True, drives=False, copies=COPIES)
    plans = {f"{how}-{number}": acts(3, how=how) for number in range(jobs) for how in ("here", "call")}
    copies = [key for key in plans for _ in range(COPIES)]
    chaos.chance.shuffle(copies)
    await asyncio.gather(*(_publish(mesh, key, msgspec.json.encode(plans[key])) for key in copies))
    fleet.handed += [Handed(job_id_for_key("default", key), [act.key for act in plan]) for key, plan in plans.items()]
    again = [fleet.hand_in(mesh, plans[key], key=key) for key in list(plans)[:10]]
    assert {handle.id for handle in await asyncio.gather(*again)} <= {each.job for each in fleet.handed}
    await fleet.over(mesh, within=240)
    done = f"{len(plans)} jobs, each message {COPIES} times"
    evidence = await chaos.conclude(fleet, server.url, done, "each was one job", recovery="none needed")
    assert len(evidence.journals) == len(plans)
    assert set(fleet.ledger.counts().values()) == {1}
    assert len(fleet.ledger.requests()) == 3 * len(plans) or fleet.lapsed(*everybody)
    assert not evidence.letters
    assert not fleet.mishaps(*everybody)


async def _publish(mesh: Mesh, key: str, data: bytes) -> None:
    """A job as any NATS client publishes it, beside thousands of others: a disk that is slow takes its time."""
    subject, headers = mesh.peer.subjects.ingress("default", "chain"), headers_of(Terms(key=key))
    await mesh.peer.store.append(subject, data, headers=headers, timeout=PATIENCE)
