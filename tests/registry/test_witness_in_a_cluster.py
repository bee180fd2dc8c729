"""Nobody listens where a process should: proof of its death only where its server is ours, and so alive."""

from __future__ import annotations

from unittest.mock import Mock

import msgspec

from mesh.protocols.ports import KeyValue
from mesh.registry.buckets import LEASE_PREFIX
from mesh.registry.listing import Change
from mesh.registry.outage import Outage
from mesh.registry.records import Lease
from mesh.registry.witness import Witness

OURS, ANOTHER = "S1", "S2"


def witness_of(server: str) -> tuple[Witness, list[Change]]:
    """A witness that has heard of the process `p`, which is connected to that server."""
    changes: list[Change] = []
    witness = Witness(Mock(), changes.extend, Outage())
    lease = Lease(process="p", host="h", pid=1, incarnation="i", server_id=server, client_id=7)
    witness.lease(KeyValue(f"{LEASE_PREFIX}p", msgspec.json.encode(lease), 1), 0.0)
    return witness, changes


def test_at_our_own_server_it_is_dead() -> None:
    witness, changes = witness_of(OURS)
    witness.nobody_listens("p", "i", 1.0, OURS)
    assert "p" not in witness.roster.members
    assert changes[-1].kind == "process-down"


def test_at_another_server_it_stays_until_its_lease_runs_out() -> None:
    witness, changes = witness_of(ANOTHER)
    witness.nobody_listens("p", "i", 1.0, OURS)
    assert "p" in witness.roster.members
    assert "process-down" not in {each.kind for each in changes}
    witness.lease(KeyValue(f"{LEASE_PREFIX}p", None, 2), 4.0)
    assert "p" not in witness.roster.members


def test_an_earlier_incarnation_says_nothing_of_this_one() -> None:
    witness, _ = witness_of(OURS)
    witness.nobody_listens("p", "an earlier one", 1.0, OURS)
    assert "p" in witness.roster.members
