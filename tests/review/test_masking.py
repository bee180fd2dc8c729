"""What is secret is hidden, and a line that was written to keep the masking busy is done at once."""

from __future__ import annotations

import pytest

from mesh.agents.review.masking import masked, masked_message, reads_like_prose, without_secrets


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password = 'hunter2'", "password = '***'"),
        (r'password = "a\"b"', 'password = "***"'),
        ("password: hunter2", "password: ***"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", "Bearer ***"),
        (r"password = 'ends in one\\'", "password = '***'"),
        ("'one'\nkey = \"two\"", "'***'\nkey = \"***\""),
        ('password: mango 7 # the "old" one', "password: ***"),
        ('DB_PASSWORD=mango-7 NAME="app"', "DB_PASSWORD=***"),
        ('password: str = "mango-7"', 'password: str = "***"'),
        ('f(password="mango-7", name=x)', 'f(password="***", name=x)'),
        ('if password == "mango-7":', 'if password == "***":'),
        ('password = """mango-7', "password = ***"),
        ("password = 'mango-7\\", "password = ***"),
    ],
)
def test_values_are_hidden_and_their_places_are_not(line: str, shown: str) -> None:
    assert masked(line) == shown


def test_a_message_that_repeats_a_value_with_a_quote_in_it_does_not_tell_its_end() -> None:
    assert masked_message("Possible hardcoded password: 'man'go-7'") == "Possible hardcoded password: '***'"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password = 'mango-7'  ", "password = '***'  "),
        ('get(url, headers={"X-Token": "mango-7"})', 'get(url, headers={"***": "***"})'),
        ("def f(password='mango-7', *, other=[]): pass", "def f(password='***', *, other=[]): pass"),
        ("key = 'AKIA" + "A" * 16 + "'", "key = '[redacted]'"),
        ('query = "select x where token = \'" + text', 'query = "select x where token = \'" + text'),
        ("token = parse(text)", "token = parse(text)"),
        ("name = 'a'", "name = 'a'"),
    ],
)
def test_what_is_about_something_else_shows_the_line_without_the_secret_on_it(line: str, shown: str) -> None:
    assert without_secrets(line) == shown


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_line_of_backslashes_without_an_end_takes_no_time(quote: str) -> None:
    """It comes from the diff of a stranger, and the agent that reads it hears nothing meanwhile."""
    line = f"password = {quote}" + "\\" * 400
    assert masked(line) == "password = ***"
    assert not reads_like_prose(line)
