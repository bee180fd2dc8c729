"""Errors cross the wire and arrive as their own type."""

from __future__ import annotations

import msgspec
import pytest

from mesh.protocols import errors
from mesh.protocols.errors import Fault, MeshError, every_error, from_fault

WIRE = [kind for kind in every_error() if kind.__module__ == errors.__name__]
# Errors that other floors add for their own callers do not travel.


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_wire_as_its_own_type(kind: type[MeshError]) -> None:
    sent = kind("what happened", retry_after=1.5, detail={"where": "here"}).fault(origin="greeter")
    arrived = from_fault(msgspec.json.decode(msgspec.json.encode(sent), type=Fault))
    assert type(arrived) is kind
    assert (arrived.message, arrived.retry_after, arrived.origin) == ("what happened", 1.5, "greeter")
    assert arrived.detail == {"where": "here"}


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in WIRE]
    assert len(codes) == len(set(codes))


def test_a_code_of_a_newer_release_arrives_as_the_class_it_names() -> None:
    arrived = from_fault(Fault(code="from-the-future", error_class="transient", message="later"))
    assert type(arrived) is errors.Transient


def test_the_tree_at_the_top_of_the_file_names_every_error() -> None:
    assert errors.__doc__ is not None
    missing = [kind.__name__ for kind in WIRE if kind.__name__ not in errors.__doc__]
    assert missing == []


def test_an_error_that_was_passed_on_keeps_its_first_origin() -> None:
    first = from_fault(errors.HandlerFailed("boom").fault(origin="inner"))
    assert first.fault(origin="outer").origin == "inner"


@pytest.mark.parametrize(
    "error",
    [
        errors.Refused("no", detail={"order": object(), "reason": "sold out"}),
        errors.Refused("no", detail={"reason": "sold out", "half": "\udc80"}),
        errors.Refused("the file \udc80 is missing", detail={"reason": "sold out"}),
        errors.Refused("x" * 2_000_000, detail={"reason": "sold out"}),
        errors.Refused("no", detail={"page": "x" * 2_000_000, "reason": "sold out"}),
        errors.Refused("no", detail={"reason": "sold out", "pages": {str(each): "x" * 1000 for each in range(2000)}}),
    ],
    ids=["an-object", "half-a-pair", "half-a-pair-said", "a-long-message", "a-long-detail", "much-of-it"],
)
def test_whatever_an_error_is_made_with_it_can_be_told(error: MeshError) -> None:
    data = msgspec.json.encode(error.fault("shop"))
    assert len(data) < 512 * 1024
    arrived = from_fault(msgspec.json.decode(data, type=Fault))
    assert type(arrived) is errors.Refused
    assert arrived.detail["reason"] == "sold out"
    assert arrived.message[:2] == error.message[:2]


def test_a_fault_is_not_changed_with_the_error_that_it_was_told_of() -> None:
    error = errors.Refused("no", detail={"begun": False})
    fault = error.fault()
    error.detail.clear()
    assert fault.detail == {"begun": False}
