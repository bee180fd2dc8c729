"""What stands in the bucket of policies: whatever it is, it is understood or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.errors import InvalidName
from mesh.protocols.policies import Entry, Unreadable, entry_in, flag_key, switch_in, switch_key

KEYS = ["kill.agent.pay", "flag.fast", "limit.agent.pay", "share.acme", "other.x"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [b'{"by":"\xff"}', b"[" * 5000, b"\xff", b'{"at":1e999}'])
def test_what_cannot_be_read_is_told_as_that_and_as_nothing_else(key: str, value: bytes) -> None:
    with pytest.raises(Unreadable):
        entry_in(key, value)


def test_a_switch_holds_whatever_is_written_into_it() -> None:
    found = switch_in("kill.agent.pay", "because")
    assert found is not None
    assert (found.what, found.name) == ("agent", "pay")


@given(st.text(max_size=12), st.binary(max_size=40))
def test_no_entry_raises_anything_else(key: str, value: bytes) -> None:
    try:
        assert isinstance(entry_in(f"kill.agent.{key}", value), Entry)
    except Unreadable:
        switch_in(f"kill.agent.{key}", "")


def test_half_a_character_is_no_name() -> None:
    """As a shell passes on what is no UTF-8."""
    with pytest.raises(InvalidName):
        switch_key("agent", "pay\udc80")
    with pytest.raises(InvalidName):
        flag_key("fast", tenant="\udc80")
