"""Every message type has stated semantics."""

from __future__ import annotations

from typing import get_args

from mesh.protocols.acts import ACTS, Performative
from mesh.protocols.envelope import Kind
from mesh.protocols.semantics import TABLE, as_markdown


def test_every_performative_has_a_content_type_and_a_promise() -> None:
    assert set(ACTS) == set(get_args(Performative))
    assert set(ACTS) == {each.name for each in TABLE if each.kind == "act"}


def test_every_kind_of_message_has_a_promise() -> None:
    assert {each.kind for each in TABLE} == set(get_args(Kind))


def test_nothing_is_promised_twice() -> None:
    names = [(each.kind, each.name) for each in TABLE]
    assert len(names) == len(set(names))


def test_the_documentation_prints_one_row_a_type() -> None:
    assert len(as_markdown().splitlines()) == len(TABLE) + 2
