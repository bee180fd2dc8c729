"""After an outage silence proves nothing, until everybody has had a lease to renew."""

from __future__ import annotations

from mesh.registry.outage import Outage


def test_expiries_count_while_nothing_is_wrong() -> None:
    assert not Outage().doubtful(1.0)


def test_expiries_are_doubted_during_an_outage_and_one_grace_after_it() -> None:
    outage = Outage()
    outage.began("bus")
    assert outage.doubtful(1_000.0)
    assert outage.ended("bus", now=1_000.0, grace=3)
    assert outage.doubtful(1_002.9)
    assert not outage.doubtful(1_003.0)


def test_the_grace_begins_when_the_last_source_has_recovered() -> None:
    outage = Outage()
    outage.began("bus")
    outage.began("presence")
    outage.ended("bus", 10.0, 3)
    assert outage.doubtful(20.0)
    outage.ended("presence", 20.0, 3)
    assert outage.settles_at == 23.0


def test_an_end_without_a_beginning_is_none() -> None:
    outage = Outage()
    assert not outage.ended("bus", 10.0, 3)
    assert not outage.doubtful(10.0)
