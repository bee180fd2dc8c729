"""What a run of `make bench` leaves behind: the JSON file, which `--compare` reads again.

schema      1
quick       whether the rounds were few and short
seed        what the order of the rounds came from
at          when it began, UTC, ISO 8601
seconds     how long all of it took
machine     cpus, cpu, system, python and the versions of nats-server, nats-py, uvloop and msgspec
noise       why the figures are noisy, or empty
benches     one object a bench:
  bench     its name
  seconds   how long it took
  skipped   why it cannot run here, or empty
  broke     its traceback, or that it hung, or empty
  rows      one object a row:
    target  name, floor and aim (null: none), better ("lower" or "higher"), unit
    passed  whether the floor holds
    figure  the median over the rounds; least and most of them; rounds: how many (null: not a ratio)
    about   words for people
    ours    of a ratio: our side of it. figure as measured (seconds an operation where lower is better, operations a
    base    second where higher is), here, there and server: processor seconds an operation; base: what it is held to
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.rows import Row

SCHEMA = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one bench: rows, or why there are none."""

    bench: str
    seconds: float = 0.0
    skipped: str = ""
    broke: str = ""
    rows: list[Row] = []


class Results(msgspec.Struct, kw_only=True):
    """One run. Missed floors make it 1, a broken bench makes it 2."""

    quick: bool
    seed: int
    at: str
    machine: dict[str, Any]
    schema: int = SCHEMA
    noise: str = ""
    seconds: float = 0.0
    benches: list[Outcome] = []

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row, with the name of its bench."""
        return ((outcome.bench, row) for outcome in self.benches for row in outcome.rows)

    def held(self) -> list[Row]:
        """The rows that have a floor."""
        return [row for _, row in self.rows() if row.target.floor is not None]

    def missed(self) -> list[Row]:
        """The rows whose floor does not hold."""
        return [row for row in self.held() if not row.passed]

    @property
    def exit_code(self) -> int:
        """0 when every floor holds."""
        if any(outcome.broke for outcome in self.benches):
            return 2
        return 1 if self.missed() else 0

    def earlier(self, bench: str, target: str) -> Row | None:
        """The row of that name, if this run has it."""
        return next((row for name, row in self.rows() if name == bench and row.target.name == target), None)

    def write(self, path: Path) -> None:
        """Leave it behind as JSON."""
        whole = msgspec.to_builtins(self)
        for outcome, said in zip(self.benches, whole["benches"], strict=True):
            for row, words in zip(outcome.rows, said["rows"], strict=True):
                words["passed"] = row.passed
        path.write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """An earlier run. Raises ValueError when the file is not one."""
        found = msgspec.json.decode(path.read_bytes(), type=cls)
        if found.schema != SCHEMA:
            raise ValueError(f"schema {found.schema}, not {SCHEMA}")
        return found
