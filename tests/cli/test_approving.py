"""Nobody approves what they have not seen: the beginning of the digest is typed, or given, and compared."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import typer

from mesh.cli.approvals import _confirm
from mesh.cli.exits import BadInput
from mesh.jobs.outside.words import became
from mesh.protocols.job_events import CancelRequested, Event, PauseRequested, Resumed, SignalReceived, WaitResolved

SHOWN: dict[str, Any] = {
    "job": "j1", "tenant": "default", "workflow": "w", "key": "publish", "action": "publish.page", "risk": "high",
    "asked_at": "2026-11-20T12:00:00.000Z", "until": None, "about": {"text": "\x1b[2Jhello"}, "digest": "sha256:" + "ab12" * 16,
}  # fmt: skip


def asked(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: answer)


@pytest.mark.parametrize("typed", ["ab12ab", " AB12AB12 ", "sha256:ab12ab12", "ab12" * 16])
def test_the_beginning_of_the_digest_is_a_yes(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, typed)
    _confirm(SHOWN, "", yes=False)
    shown = capsys.readouterr()
    assert "publish.page" in shown.err
    assert "ab12" * 16 in shown.err
    assert "\x1b" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("typed", ["", "y", "yes", "ab12", "ab12ac", "00" * 32])
def test_anything_else_is_none(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch, typed)
    with pytest.raises(BadInput):
        _confirm(SHOWN, "", yes=False)


def test_where_nobody_can_be_asked_the_digest_is_given_or_the_risk_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(BadInput, match="--digest"):
        _confirm(SHOWN, "", yes=False)
    with pytest.raises(BadInput, match="look at it again"):
        _confirm(SHOWN, "cd12ab", yes=True)
    _confirm(SHOWN, "ab12ab", yes=False)
    _confirm(SHOWN, "", yes=True)


@pytest.mark.parametrize(
    ("event", "status", "told"),
    [
        (WaitResolved(key="publish", how="approved"), "submitted", "'publish' is approved; it goes on as soon as a process takes it up"),
        (WaitResolved(key="publish", how="denied"), "running", "'publish' is denied; it runs"),
        (WaitResolved(key="pay", how="retry"), "waiting", "'pay' is done again; it waits"),
        (SignalReceived(name="go", inbox=1), "running", "the signal 'go' is kept until it is waited for; it runs"),
        (PauseRequested(), "paused", "nothing more of it is begun; it is paused"),
        (Resumed(), "running", "the pause is over; it runs"),
        (CancelRequested(), "parked", "it is asked to end; it waits for a person"),
    ],
)  # fmt: skip
def test_what_became_of_an_answer_is_told_in_words(event: Event, status: str, told: str) -> None:
    assert became(event, status) == told
