"""What is secret is hidden, and a line that was written to keep the masking busy is done at once."""

from __future__ import annotations

import pytest

from mesh.agents.review.masking import masked, reads_like_prose


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password = 'hunter2'", "password = '***'"),
        (r'password = "a\"b"', 'password = "***"'),
        ("password: hunter2", "password: ***"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", "Bearer ***"),
        (r"password = 'ends in one\\'", "password = '***'"),
        ("'one'\nkey = \"two\"", "'***'\nkey = \"***\""),
    ],
)
def test_values_are_hidden_and_their_places_are_not(line: str, shown: str) -> None:
    assert masked(line) == shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_line_of_backslashes_without_an_end_takes_no_time(quote: str) -> None:
    """It comes from the diff of a stranger, and the agent that reads it hears nothing meanwhile."""
    line = f"password = {quote}" + "\\" * 400
    assert masked(line) == "password = ***"
    assert not reads_like_prose(line)
