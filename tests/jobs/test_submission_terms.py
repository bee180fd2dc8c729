"""What a plain NATS client may write beside its JSON, and what is said to it when it is wrong."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import BadPayload
from mesh.protocols.naming.names import check_token
from mesh.protocols.submission import (
    MAX_DEPTH,
    Terms,
    digest_of,
    headers_of,
    job_id_for_key,
    job_id_for_message,
    read_input,
    terms_of,
)

words = st.text(st.characters(categories=("Ll", "Nd")), min_size=1, max_size=12)
terms = st.builds(
    Terms,
    key=words | st.just(""),
    deadline=st.none() | st.floats(0.001, 1e6),
    correlation=words | st.just(""),
    constraints=st.builds(
        Constraints,
        budget=st.builds(Budget, money=st.none() | st.floats(0, 1e6), tokens=st.none() | st.integers(0, 10**9)),
        boundary=words | st.just(""),
        priority=st.integers(0, 3),
        labels=st.dictionaries(words, words, max_size=3),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(terms)
def test_terms_survive_the_headers(given_terms: Terms) -> None:
    assert terms_of(headers_of(given_terms)) == given_terms


def test_header_names_are_read_in_any_case_and_the_message_id_stands_in_for_the_key() -> None:
    assert terms_of({"mesh-priority": "0", "MESH-DEADLINE": " 5 "}) == Terms(
        deadline=5.0, constraints=Constraints(priority=0)
    )
    assert terms_of({"Nats-Msg-Id": "abc"}).key == "abc"
    assert terms_of({"Nats-Msg-Id": "abc", "Mesh-Key": "mine"}).key == "mine"


def test_a_budget_is_money_or_a_list() -> None:
    assert terms_of({"Mesh-Budget": "0.5"}).constraints.budget == Budget(money=0.5)
    assert terms_of({"Mesh-Budget": "tokens=10, wall_time=2.5"}).constraints.budget == Budget(tokens=10, wall_time=2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Mesh-Deadline", "NaN"),
        ("Mesh-Deadline", "-1"),
        ("Mesh-Deadline", "0"),
        ("Mesh-Deadline", "1e999"),
        ("Mesh-Deadline", "soon"),
        ("Mesh-Budget", "nan"),
        ("Mesh-Budget", "-1"),
        ("Mesh-Budget", "beer=3"),
        ("Mesh-Priority", "9"),
        ("Mesh-Priority", "high"),
        ("Mesh-Labels", "eu"),
        ("Mesh-Labels", "=eu"),
        ("Mesh-Key", "x" * 300),
        ("Mesh-Key", "a\x1b[31m"),
    ],
)
def test_a_bad_header_is_named(name: str, value: str) -> None:
    with pytest.raises(BadPayload, match=r"header|budget"):
        terms_of({name: value})


def test_terms_that_no_header_can_say_are_refused_before_they_are_sent() -> None:
    for labels in ({"a": "b,c=d"}, {"a": "b\r\nMesh-Key: other"}):
        with pytest.raises(BadPayload):
            headers_of(Terms(constraints=Constraints(labels=labels)))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"nope",
        b'{"a": NaN}',
        b"[1e999]",
        b"Infinity",
        b'"\xff"',
        b"[" * 100_000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
    ],
)
def test_what_is_not_plain_json_is_a_bad_payload(data: bytes) -> None:
    with pytest.raises(BadPayload):
        read_input(data)


@pytest.mark.parametrize(
    "rest", [b'"' + b'\\"' * 500_000, b'"' + b'\\"' * 500_000 + b"\\", b'"\\' * 300_000, b"[" * 999_000]
)
def test_no_input_takes_longer_to_read_than_its_length_deserves(rest: bytes) -> None:
    """One message of a stranger must not hold every host that takes it in, one after the other."""
    for opening in (b"[" * (MAX_DEPTH - 1), b"[]," * 200):
        with pytest.raises(BadPayload):
            read_input(opening + rest)


def test_nesting_is_counted_outside_strings_only() -> None:
    brackets = b'["' + b"[" * 1000 + b'", "\\"[[["]'
    assert bytes(read_input(brackets)) == brackets
    assert read_input(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert bytes(read_input(b"")) == b"null"


def test_a_key_is_one_job_in_its_tenant_and_ids_fit_into_subjects() -> None:
    assert job_id_for_key("a", "k") == job_id_for_key("a", "k")
    assert len({job_id_for_key("a", "k"), job_id_for_key("b", "k"), job_id_for_key("a", "l")}) == 3
    assert job_id_for_message("mesh_default_IN", 1) != job_id_for_message("mesh_default_IN", 2)
    check_token(job_id_for_message("mesh_default_IN", 1))


def test_the_digest_sees_through_white_space_and_the_order_of_keys() -> None:
    assert digest_of(b'{"a": 1, "b": [2]}') == digest_of(b'{"b":[2],"a":1}')
    assert digest_of(b'{"a": 1}') != digest_of(b'{"a": 2}')
