"""What options say is read as typer reads it, and what is not plain is left to typer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from mesh.cli.plain_types import NotPlain, plain_value, read_plainly


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "wanted", "read"),
    [
        ("a b", str, "a b"),
        ("", str, ""),
        (("a", "b"), list[str], ["a", "b"]),
        ("red", Colour, Colour.RED),
        (Colour.RED, Colour, Colour.RED),
        ("12", int, 12),
        (3, int, 3),
        ("2.50", float, 2.5),
        ("2", float, 2.0),
    ],
)
def test_plain_values_are_read(value: Any, wanted: Any, read: Any) -> None:
    found = plain_value(value, wanted)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("blue", Colour), ("1_000", int), ("-1", int), ("1e3", float), ("nan", float), (True, int), ("x", Path), (1, str)],
)
def test_anything_else_is_for_typer(value: Any, wanted: Any) -> None:
    with pytest.raises(NotPlain):
        plain_value(value, wanted)


@pytest.mark.parametrize(("value", "least", "most"), [("0", 1, None), ("0.0001", 0.001, None), ("4", 0, 3)])
def test_a_number_out_of_bounds_is_for_typer(value: str, least: float, most: float) -> None:
    with pytest.raises(NotPlain):
        plain_value(value, float, least, most)


def command(got: list[Any]) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command()
    def paint(
        name: str,
        count: Annotated[int, typer.Option(min=1, max=9)] = 2,
        share: Annotated[float | None, typer.Option(min=0.1)] = None,
        colour: Colour = Colour.RED,
        label: Annotated[list[str] | None, typer.Option()] = None,
        where: Path = Path(),
        loud: bool = False,
    ) -> None:
        got.append((name, count, share, colour, list(label or ()), where, loud))

    return typer.main.get_command(app)


LINES = [
    ["x"],
    ["x", "--count", "3", "--share", "0.5", "--colour", "red", "--label", "a=b", "--label", "c=d", "--loud"],
    ["x", "--where", "some/where", "--share", "1e1"],
    ["--count", "-3", "x"],
    ["x", "--count", "0"],
    ["x", "--share", "nan"],
    ["x", "--colour", "blue"],
    [],
    ["--help"],
]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_command_line_means_what_it_means_to_typer_alone(line: list[str]) -> None:
    theirs, ours = [], []
    alone = _run(command(theirs), line)
    beside = _run(read_plainly(command(ours)), line)
    assert (beside, ours) == (alone, theirs)


def _run(made: Any, line: list[str]) -> tuple[int, str]:
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            made(line)
        except SystemExit as end:
            return int(end.code or 0), out.getvalue() + err.getvalue()
    return 0, out.getvalue() + err.getvalue()
