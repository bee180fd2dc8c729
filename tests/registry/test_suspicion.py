"""Suspicion is cheap and reversible, and one voice is not several."""

from __future__ import annotations

from mesh.registry.suspicion import Suspicions


def test_one_process_with_an_open_breaker_makes_no_suspect() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("t.x.1",))
    suspicions.told("p1.b.1", ("t.x.1 other.capability",))
    assert suspicions.verdict("t.x.1") == ""


def test_two_processes_make_a_suspect_until_one_takes_it_back() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("t.x.1",))
    assert suspicions.told("p2.a.1", ("t.x.1",)) == {"t.x.1"}
    assert "2 processes" in suspicions.verdict("t.x.1")
    assert suspicions.told("p2.a.1", ()) == {"t.x.1"}
    assert suspicions.verdict("t.x.1") == ""


def test_a_process_is_no_witness_against_itself() -> None:
    suspicions = Suspicions()
    suspicions.told("t.a.1", ("t.x.1",))
    suspicions.told("p2.a.1", ("t.x.1",))
    assert suspicions.verdict("t.x.1") == ""


def test_who_is_gone_accuses_nobody_any_more() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("t.x.1",))
    suspicions.told("p2.a.1", ("t.x.1",))
    assert suspicions.forget("p1.a.1") == {"t.x.1"}
    assert suspicions.verdict("t.x.1") == ""


def test_silence_ends_with_a_sign_of_life_and_an_accusation_with_proof() -> None:
    suspicions = Suspicions()
    suspicions.silent("t", "no answer")
    suspicions.accuse("t.x.1", "breaker open")
    assert suspicions.verdict("t.x.1") == "no answer"
    assert suspicions.heard("t")
    assert suspicions.verdict("t.x.1") == "breaker open"
    assert suspicions.absolve("t.x.1")
    assert not suspicions.absolve("t.x.1")
    assert suspicions.verdict("t.x.1") == ""


def test_the_same_news_again_changes_nothing() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("t.x.1",))
    assert suspicions.told("p1.a.1", ("t.x.1",)) == set()


def test_who_votes_is_named_and_told_apart_from_what_is_known_here() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("t.x.1 do",))
    suspicions.told("p2.a.1", ("t.x.1 do",))
    assert suspicions.voted_out("t.x.1") == "breakers of 2 processes (p1, p2) are open against it"
    assert suspicions.held_against("t.x.1") == ""
    suspicions.silent("t", "no answer")
    assert suspicions.verdict("t.x.1") == "no answer"


def test_a_version_is_poor_for_one_capability_when_several_say_so() -> None:
    suspicions = Suspicions()
    assert suspicions.told("p1.a.1", ("x@1.0.0 do", "x@1.0.0 write")) == set()
    assert suspicions.told("p2.a.1", ("x@1.0.0 do",)) == set()
    assert list(suspicions.poor) == ["x@1.0.0 do"]
    assert "p1, p2" in suspicions.poor["x@1.0.0 do"]
    suspicions.told("p1.a.1", ("x@1.0.0 write",))
    assert not suspicions.poor


def test_a_version_is_no_longer_poor_when_who_said_so_is_gone() -> None:
    suspicions = Suspicions()
    suspicions.told("p1.a.1", ("x@1.0.0 do",))
    suspicions.told("p2.a.1", ("x@1.0.0 do",))
    suspicions.forget("p2.a.1")
    assert not suspicions.poor
