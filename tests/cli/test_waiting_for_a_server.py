"""A server that says nothing is told from a mesh in which nothing happens, however short `--timeout` is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from mesh.cli.exits import Exit
from mesh.transport.connection import connect
from tests.command_line import CommandLine

COMMANDS = [
    ("events",),
    ("events", "-f"),
    ("events", "--live"),
    ("job", "events", "-f", "a-job"),
    ("logs", "-f"),
    ("registry", "watch"),
]


@pytest.fixture
def silent() -> Iterator[CommandLine]:
    """The command line at somebody who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield CommandLine(f"nats://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_that_nobody_answers_is_no_end_of_the_time_given(
    silent: CommandLine, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connect.__kwdefaults__, "timeout", 0.5)
    code, out, err = await silent(*command, "--timeout", "0.1")
    assert (code, out, "no NATS server answers" in err) == (Exit.NO_MESH, "", True), err


@pytest.mark.server
@pytest.mark.parametrize("command", [("events", "-f"), ("events", "--live"), ("logs", "-f")], ids=" ".join)
async def test_that_the_time_is_over_is_no_failure_once_somebody_has_answered(
    cli: CommandLine, command: tuple[str, ...]
) -> None:
    code, out, err = await cli(*command, "--timeout", "0.3")
    assert (code, out) == (0, ""), err
