"""What is missing from a fresh look, and was removed by nobody, was lost by the store: who lives will write it again."""

from __future__ import annotations

from unittest.mock import Mock

import msgspec
import pytest

from mesh.protocols.ports import KeyValue
from mesh.registry.buckets import lease_key
from mesh.registry.listing import Change
from mesh.registry.outage import Outage
from mesh.registry.records import Instance, Lease
from mesh.registry.witness import Witness

LEASE = Lease(process="p", host="h", pid=1, incarnation="i", server_id="S1", client_id=7)
RECORD = Instance(agent="a", version="1", instance="x", process="p", host="h", pid=1, started_at=0.0, incarnation="i")
GRACE = 10.0


@pytest.fixture
def witness() -> Witness:
    """One that knows the process `p` and its instance, as written under revisions 5 and 6."""
    changes: list[Change] = []
    witness = Witness(Mock(), changes.extend, Outage())
    witness.rewritten_within = GRACE
    witness.lease(KeyValue(lease_key("p"), msgspec.json.encode(LEASE), 5), 0.0)
    witness.record(KeyValue(RECORD.key, msgspec.json.encode(RECORD), 6), 0.0)
    assert RECORD.key in witness.roster.listed
    return witness


def test_what_is_missing_stays_listed_until_everybody_had_a_lease_to_write_it_again(witness: Witness) -> None:
    witness.lease(KeyValue(lease_key("p"), None, 5), 100.0)
    witness.record(KeyValue(RECORD.key, None, 6), 100.0)
    assert RECORD.key in witness.roster.listed
    witness.settle(100.0 + GRACE - 0.1)
    assert RECORD.key in witness.roster.listed
    witness.settle(100.0 + GRACE)
    assert RECORD.key not in witness.roster.listed
    assert "p" not in witness.roster.members


def test_what_was_written_again_stays(witness: Witness) -> None:
    witness.record(KeyValue(RECORD.key, None, 6), 100.0)
    witness.record(KeyValue(RECORD.key, msgspec.json.encode(RECORD), 1), 101.0)
    witness.settle(100.0 + GRACE)
    assert RECORD.key in witness.roster.listed


def test_who_was_buried_before_the_store_was_made_anew_is_asked_again(witness: Witness) -> None:
    """Revisions begin anew with the store: those of a new one may be lower for days."""
    witness.bury("p", "its connection ended, somebody said")
    witness.lease(KeyValue(lease_key("p"), msgspec.json.encode(LEASE), 1), 101.0)
    witness._errands.reconsider.assert_called_with("p")  # type: ignore[attr-defined]
    witness.exhume("p", 102.0)
    assert RECORD.key in witness.roster.listed


def test_what_somebody_removed_is_gone_at_once(witness: Witness) -> None:
    witness.record(KeyValue(RECORD.key, None, 7), 100.0)
    assert RECORD.key not in witness.roster.listed
    witness.lease(KeyValue(lease_key("p"), None, 8), 100.0)
    assert "p" not in witness.roster.members
