"""Subjects are built and parsed in one place, and no hostile token passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.errors import InvalidName
from mesh.protocols.subjects import ANYONE, Subjects, check_capability, check_name, check_token

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
