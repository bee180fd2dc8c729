"""What is held against an instance ends with that instance, and a vote counts from when it is heard."""

from __future__ import annotations

from unittest.mock import Mock

import msgspec

from mesh.protocols.ports import KeyValue
from mesh.registry.buckets import LEASE_PREFIX
from mesh.registry.outage import Outage
from mesh.registry.records import Beat, Figures, Instance, Lease
from mesh.registry.witness import Witness


class Told:
    """A witness, and what it hears."""

    def __init__(self) -> None:
        self.witness = Witness(Mock(), lambda changes: None, Outage())
        self.revision = 0

    def key_value(self, key: str, value: object) -> KeyValue:
        self.revision += 1
        return KeyValue(key, msgspec.json.encode(value), self.revision)

    def lease(self, process: str, incarnation: str = "1") -> None:
        lease = Lease(process=process, host="h", pid=1, incarnation=incarnation, server_id="S", client_id=7)
        self.witness.lease(self.key_value(f"{LEASE_PREFIX}{process}", lease), 0.0)

    def record(self, process: str, incarnation: str = "1") -> None:
        record = Instance(
            agent="a", version="1", instance="1", process=process, host="h", pid=1, incarnation=incarnation,
            started_at=0.0, state="ready",
        )  # fmt: skip
        self.witness.record(self.key_value(record.key, record), 0.0)

    def votes(self, process: str, *targets: str) -> None:
        figures = {"a.1": Figures(breakers=targets)}
        self.witness.beat(Beat(process=process, incarnation="1", number=1, lag=0.0, figures=figures), 0.0)

    def suspicion(self, process: str) -> str:
        listing = self.witness.roster.listed[f"{process}.a.1"]
        return listing.suspicion


def test_votes_that_came_before_their_voters_record_count_once_it_is_there() -> None:
    told = Told()
    for each in ("bad", "p", "q"):
        told.lease(each)
    told.record("bad")
    for each in ("p", "q"):
        told.votes(each, "bad.a.1 do")
        told.record(each)
    assert "2 processes" in told.suspicion("bad")


def test_a_process_that_starts_afresh_does_not_bear_what_was_held_against_the_one_before() -> None:
    told = Told()
    told.lease("p")
    told.record("p")
    told.witness.accuse("p.a.1", "it broke its word")
    assert told.suspicion("p") == "it broke its word"
    told.lease("p", "2")
    told.record("p", "2")
    told.witness.silent("p", "no answer")
    told.lease("p", "2")
    told.witness.beat(Beat(process="p", incarnation="2", number=1, lag=0.0, figures={}), 0.0)
    assert told.suspicion("p") == ""


def test_nothing_is_held_against_who_is_not_there() -> None:
    told = Told()
    told.witness.accuse("p.a.1", "it broke its word, and was gone by then")
    told.lease("p")
    told.record("p")
    told.witness.silent("p", "no answer")
    told.witness.beat(Beat(process="p", incarnation="1", number=1, lag=0.0, figures={}), 0.0)
    assert told.suspicion("p") == ""
