"""Nothing that comes from outside reaches a terminal as an escape sequence or as markup."""

from __future__ import annotations

import json

import pytest

from mesh.cli.options import Format
from mesh.cli.output import print_line, print_rows, print_value, printable

ROWS = [{"agent": "greeter\x1b[31m", "load": 0.25, "labels": {"gpu": "yes"}, "note": "[bold]x[/bold]"}]
COLUMNS = {"agent": "AGENT", "load": "LOAD", "labels": "LABELS", "note": "NOTE", "missing": "MISSING"}


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[31mb\x07") == "a\\x1b[31mb\\x07"
    assert printable("two\nlines\tand a tab") == "two\nlines\tand a tab"


def test_a_table_shows_values_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, COLUMNS, Format.TABLE)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]x[/bold]" in out
    assert "gpu=yes" in out


def test_json_and_yaml_carry_the_rows_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, COLUMNS, Format.JSON)
    assert json.loads(capsys.readouterr().out) == ROWS
    print_rows(ROWS, COLUMNS, Format.YAML)
    assert "load: 0.25" in capsys.readouterr().out


def test_an_empty_list_is_said_on_stderr_and_is_valid_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], COLUMNS, Format.TABLE, empty="no agents")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no agents\n")
    print_rows([], COLUMNS, Format.JSON)
    assert json.loads(capsys.readouterr().out) == []


def test_a_streaming_command_prints_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line({"text": "a\nb"})
    assert capsys.readouterr().out == '{"text":"a\\nb"}\n'
    print_value({"a": 1}, Format.JSON)
    assert json.loads(capsys.readouterr().out) == {"a": 1}
