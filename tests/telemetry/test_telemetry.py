"""One call tells it; secrets never leave; a failing sink harms nobody."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from mesh.telemetry.log_lines import JsonLines
from mesh.telemetry.redaction import BLOT, redacted
from mesh.telemetry.telemetry import Telemetry


def test_an_event_becomes_one_json_line_without_its_empty_fields() -> None:
    stream = io.StringIO()
    telemetry = Telemetry(lambda: 1_700_000_000.5, JsonLines(stream), common={"process": "p1"})
    telemetry.emit("agent.call", agent="greeter", job="", latency=0.25, message="two\nlines")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "event": "agent.call",
        "process": "p1",
        "agent": "greeter",
        "latency": 0.25,
        "message": "two\nlines",
    }


def test_a_sink_that_fails_keeps_the_others_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(event: str, at: float, fields: Any) -> None:
        raise OSError("disk full")

    with caplog.at_level(logging.ERROR):
        Telemetry(lambda: 0.0, broken, lambda event, at, fields: heard.append(event)).emit("x")
    assert heard == ["x"]
    assert "disk full" in caplog.text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "a1" * 12,
        "ghp_" + "A" * 36,
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "nats://user:hunter2@host",
        "-----BEGIN RSA PRIVATE KEY-----\nabc",
    ],
)
def test_secrets_are_blotted_out_wherever_they_stand(secret: str) -> None:
    for value in (secret, {"deep": [f"before {secret} after"]}):
        text = json.dumps(redacted(value))
        assert BLOT in text
        assert "hunter2" not in text
        assert "a1a1" not in text


def test_a_telling_name_hides_its_value_but_counts_of_tokens_are_kept() -> None:
    assert redacted({"api_key": "x", "db.password": "y"}) == {"api_key": BLOT, "db.password": BLOT}
    assert redacted({"tokens_in": 12, "token": 5}) == {"tokens_in": 12, "token": 5}


def test_the_seed_of_an_nkey_is_blotted_out() -> None:
    assert redacted("seed SUAM" + "A" * 54 + " end") == f"seed {BLOT} end"


def test_what_looks_a_little_like_a_secret_is_left_alone() -> None:
    plain = ["clerk-1", "high", "k-means", "http://there/path", "eyJ", "S" * 80, "-----BEGIN of it", "AKIA"]
    assert redacted(plain) == plain


def test_a_sink_may_come_and_go() -> None:
    heard: list[str] = []

    def sink(event: str, at: float, fields: Any) -> None:
        heard.append(event)
        if event == "last":
            telemetry.remove(sink)

    telemetry = Telemetry(lambda: 0.0)
    telemetry.emit("unheard")
    assert not telemetry.heard
    telemetry.add(sink)
    for event in ("first", "last", "after"):
        telemetry.emit(event)
    telemetry.remove(sink)
    assert heard == ["first", "last"]


def test_what_is_nested_within_itself_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, Any]] = []
    telemetry = Telemetry(lambda: 0.0, lambda event, at, fields: seen.append(dict(fields)))
    nested: dict[str, Any] = {}
    nested["itself"] = nested
    telemetry.emit("agent.log", message="hello", password="hunter2", data=nested)
    assert seen == [{"message": "hello", "password": BLOT, "data": BLOT}]
    assert "agent.log" in caplog.text
