"""A server for the tests of a file, and the command line on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import CommandLine
from tests.servers import RealServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def cli(server: RealServer, tmp_path: Path) -> CommandLine:
    """`mesh …` on that server, in a folder of its own."""
    return CommandLine(server.url, tmp_path)
