"""Subjects are built and parsed in one place, and no hostile token passes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.calls import ANYONE
from mesh.protocols.naming.jobs import SHARDS, shard_of
from mesh.protocols.naming.names import check_capability, check_name, check_token
from mesh.protocols.subjects import Subjects
from mesh.protocols.submission import job_id_for_key
from mesh.transport.matching import matches

HOSTILE = ["", "*", ">", "a.b", "a b", "a\r\nPUB x", "ä", "$SYS", "-a", "a" * 129, "a\n"]
subjects = Subjects()


@pytest.mark.parametrize("token", HOSTILE)
def test_a_token_that_would_change_the_subject_is_refused(token: str) -> None:
    for build in (
        lambda: subjects.rpc("p", token, "i", "me"),
        lambda: subjects.rpc("p", "a", token, "me"),
        lambda: subjects.reply("me", "you", token),
        lambda: subjects.ingress("default", token),
        lambda: subjects.job(token, "j"),
        lambda: subjects.job("default", token),
        lambda: subjects.find_job(token),
        lambda: subjects.inbox("default", token),
        lambda: subjects.timer_set("default", "j", token),
        lambda: Subjects(token),
    ):
        with pytest.raises(InvalidName):
            build()


@pytest.mark.parametrize("name", [each for each in HOSTILE if each != "a.b"] + [".a", "a.", "a..b", "a.*"])
def test_a_dotted_name_is_made_of_good_tokens(name: str) -> None:
    for build in (lambda: subjects.event("default", "a", name), lambda: subjects.cfp(name, "me")):
        with pytest.raises(InvalidName):
            build()


@given(st.text())
def test_whatever_passes_the_check_is_exactly_one_token(text: str) -> None:
    try:
        token = check_token(text)
    except InvalidName:
        return
    assert len(f"a.{token}.b".split(".")) == 3
    assert not set(token) & set("*> \t\r\n")


def test_every_subject_parses_back_into_its_parts() -> None:
    assert subjects.parse_rpc(subjects.rpc("p1", "greeter", "i1", "me")) == ("p1", "greeter", "i1", "me")
    assert subjects.parse_reply(subjects.reply("me", ANYONE, "t9")) == ("me", "_", "t9")
    assert subjects.parse_cfp(subjects.cfp("review.security", "me")) == ("review.security", "me")
    assert subjects.parse_ingress(subjects.ingress("acme", "code-review")) == ("acme", "code-review")
    assert subjects.parse_submit(subjects.submit("acme", "code-review")) == ("acme", "code-review")
    assert subjects.parse_job(subjects.job("acme", "j1")) == ("acme", "j1")
    assert subjects.parse_inbox(subjects.inbox("acme", "j1")) == ("acme", "j1")
    assert subjects.parse_timer(subjects.timer_set("acme", "j1", "t9")) == ("acme", "j1", "t9")
    assert subjects.parse_timer(subjects.timer_due("acme", "j1", "t9")) == ("acme", "j1", "t9")
    assert subjects.parse_event(subjects.event("acme", "greeter", "a.b.c")) == ("acme", "greeter", "a.b.c")
    assert subjects.parse_event(subjects.now("acme", "greeter", "a.b.c")) == ("acme", "greeter", "a.b.c")


def test_a_capability_keeps_no_underscore_because_dots_become_underscores() -> None:
    assert subjects.cfp("review.security", "me") == "mesh.default.cfp.review_security.me"
    with pytest.raises(InvalidName):
        check_capability("review_security")


@pytest.mark.parametrize("subject", ["mesh.other.rpc.a.b.c.d", "mesh.default.rpc.a.b", "mesh.default.rep.a.b.c", "x"])
def test_a_subject_of_another_mesh_or_family_is_not_parsed(subject: str) -> None:
    with pytest.raises(InvalidName):
        subjects.parse_rpc(subject)


@pytest.mark.parametrize(
    ("job", "shard"),
    [
        ("j1", "8"),
        ("jcjw3et523th33iu6hl7nci7", "e"),
        ("jh37hgcxkmc6ya5ufdncot7r", "7"),
        ("jgqb5esqaqugb4xrvno4e2zw", "4"),
    ],
)
def test_a_jobs_shard_is_part_of_the_wire_and_never_changes(job: str, shard: str) -> None:
    assert shard_of(job) == shard
    assert subjects.job("acme", job) == f"mesh.default.job.acme.{shard}.{job}"


def test_ids_of_jobs_fall_into_all_shards_alike() -> None:
    found = Counter(shard_of(job_id_for_key("acme", str(number))) for number in range(16_000))
    assert set(found) == set(SHARDS)
    assert max(found.values()) < 1.2 * min(found.values())


def test_every_journal_is_captured_by_the_one_stream_of_its_shard() -> None:
    journal = subjects.job("acme", "j1")
    assert [shard for shard in SHARDS if matches(subjects.job_shard(shard), journal)] == [shard_of("j1")]
    assert all(
        matches(each, journal) for each in (subjects.job_all(), subjects.job_filter("acme"), subjects.find_job("j1"))
    )


def test_a_journal_in_a_shard_that_is_not_its_own_is_none() -> None:
    with pytest.raises(InvalidName, match="shard"):
        subjects.parse_job("mesh.default.job.acme.0.j1")


@pytest.mark.parametrize(
    "subject", ["tim.set.acme.j1", "tim.set.acme.j1.a.b", "tim.now.acme.j1.a", "tim.due.Acme.j1.a"]
)
def test_a_timer_that_names_no_job_is_none(subject: str) -> None:
    with pytest.raises(InvalidName):
        subjects.parse_timer(f"mesh.default.{subject}")


def test_two_namespaces_share_no_name() -> None:
    one, other = Subjects("one"), Subjects("other")
    assert one.job_filter() != other.job_filter()
    assert one.stream("JOB") != other.stream("JOB")
    assert "." not in one.bucket("registry")


@pytest.mark.parametrize("pattern", [">", "review.*", "review.>", "*.finished"])
def test_events_are_subscribed_to_by_wildcard(pattern: str) -> None:
    assert subjects.event_filter(event_type=pattern).endswith(pattern)
    assert subjects.now_filter(event_type=pattern).endswith(pattern)


def test_a_wildcard_in_the_middle_that_swallows_the_rest_is_refused() -> None:
    with pytest.raises(InvalidName):
        subjects.event_filter(event_type=">.x")


def test_names_are_lower_case_so_that_two_spellings_are_one_agent() -> None:
    with pytest.raises(InvalidName, match="lower-case"):
        check_name("Greeter", "agent")
