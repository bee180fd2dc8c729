"""Several who want the same job at the same moment."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.owning.backlog import Candidate
from mesh.protocols.job_events import Entry, Submitted, Value, encode_entry
from mesh.protocols.job_head import advance
from tests.chaos.fleet import Fleet, Handed
from tests.chaos.plans import acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

PEERS = ("one", "two")
AT_ONCE = 20
MOST = 10
"""Times as many jobs as must be, until they have met often enough: on a busy machine one of them may be far behind the other."""
PATIENCE = 60.0


async def test_06_two_peers_claim_together(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """two peers claim the same job together, 1,000 times · one of them drives it, the other one leaves it alone"""
    least = chaos.pick(40, 1000)
    await fleet.start(*PEERS, look_every=0.5)
    jobs, refused = 0, list[str]()
    while jobs < least or len(refused) <= jobs / 10:
        assert jobs < MOST * least, "they hardly ever met"
        names = [f"together-{number}" for number in range(jobs, jobs + AT_ONCE)]
        await asyncio.gather(*(_journal(mesh, name) for name in names))
        fleet.handed += [Handed(name, ["step-0"]) for name in names]
        for name in names:
            _hint(mesh, name)
        await fleet.over(mesh, within=150)
        jobs += AT_ONCE
        refused = fleet.refused(*PEERS, point="owner.claimed")
    evidence = await chaos.conclude(
        fleet, server.url, f"{jobs} jobs hinted to both at once", f"{len(refused)} claims refused"
    )
    claims = [record.entry.owner for records in evidence.journals.values() for record in records if record.entry.owner]
    assert set(claims) <= set(PEERS)
    assert {key: count for key, count in fleet.ledger.counts().items() if count != 1} == {}
    assert len(fleet.ledger.requests()) == jobs or fleet.lapsed(*PEERS)


async def _journal(mesh: Mesh, job: str) -> None:
    """A job that nobody drives, as anybody may write it."""
    plan = msgspec.json.encode({"acts": acts(1)})
    submitted = Submitted(workflow="chain", version=1, input=Value(inline=msgspec.Raw(plan)), digest="")
    head = advance(None, "default", (submitted,))
    entry = Entry(id=f"{job}-first", job=job, tenant="default", head=head, events=(submitted,))
    await mesh.peer.store.append(
        mesh.peer.subjects.job("default", job), encode_entry(entry), expected=0, timeout=PATIENCE
    )


def _hint(mesh: Mesh, job: str) -> None:
    candidate = Candidate(job=job, tenant="default", workflow="chain", version=1)
    mesh.peer.bus.publish(mesh.peer.subjects.hint("default", 2), msgspec.json.encode(candidate))
