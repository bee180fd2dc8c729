"""What is said to a job: anybody may write there, so what it says is known to be readable before the job takes it."""

from __future__ import annotations

import pytest

from mesh.protocols.errors import BadPayload
from mesh.protocols.job_inbox import SendSignal, read_said


@pytest.mark.parametrize(
    "value", [b'"\xff"', b"1e999", b"[" * 101 + b"]" * 101], ids=["no-utf-8", "no-number", "nested-without-end"]
)
@pytest.mark.parametrize("word", [b'"type":"signal","name":"go"', b'"type":"resolve","key":"pay","how":"succeeded"'])
def test_a_value_that_nobody_could_read_is_not_taken(word: bytes, value: bytes) -> None:
    """It would be an answer in the journal that fails the job each time it is read."""
    with pytest.raises(BadPayload):
        read_said(b"{" + word + b',"value":' + value + b"}")


def test_a_value_comes_as_it_was_written() -> None:
    said = read_said(b'{"type":"signal","name":"go","value":{"a": [1, "\xc3\xbc"]}}')
    assert isinstance(said, SendSignal)
    assert bytes(said.value) == b'{"a": [1, "\xc3\xbc"]}'
    assert bytes(read_said(b'{"type":"signal","name":"go"}').value) == b"null"  # type: ignore[union-attr]
