"""`Line`: one journal entry in an archive, and how lines are written and read: JSON lines, or Parquet with the extra.

The entry stands there byte for byte as it was stored, so that an archive can be read, folded and replayed like a journal.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh.protocols.errors import Semantic
from mesh.upkeep.durable import synced
from mesh.upkeep.policy import Format

SUFFIX: dict[Format, str] = {"jsonl": ".jsonl.gz", "parquet": ".parquet"}


class ExtraMissing(Semantic):
    """Something that is not installed is needed. The message has the command."""

    code = "extra-missing"
    blame = "caller"


class Line(msgspec.Struct, frozen=True):
    """One message of a journal. `time` is the server's timestamp, Unix seconds; `entry` the stored text."""

    tenant: str
    job: str
    sequence: int
    time: float
    entry: str


_decoder = msgspec.json.Decoder(Line)


def write_lines(path: Path, lines: Iterable[Line], form: Format) -> None:
    """Write a new file; all of it is on the disk when this returns.

    Raises:
        ExtraMissing: Parquet needs the extra `archive`. OSError: the disk does not take it.
    """
    if form == "parquet":
        _write_parquet(path, lines)
    else:
        _write_json(path, lines)
    synced(path)


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file, whichever its form, in the order in which they were written.

    Raises:
        ExtraMissing: Parquet needs the extra. OSError, EOFError, ValueError: it is damaged.
    """
    if path.name.endswith(SUFFIX["parquet"]):
        yield from _read_parquet(path)
        return
    with gzip.open(path, "rb") as file:
        for each in file:
            yield _decoder.decode(each)


def _write_json(path: Path, lines: Iterable[Line]) -> None:
    encoder = msgspec.json.Encoder()
    with gzip.open(path, "wb", compresslevel=6) as file:
        for each in lines:
            file.write(encoder.encode(each) + b"\n")


def _write_parquet(path: Path, lines: Iterable[Line]) -> None:
    """By way of a table in memory: a batch is bounded by who makes it."""
    with _duckdb().connect() as database:
        database.execute("create table lines (tenant text, job text, sequence ubigint, time double, entry text)")
        rows = [(each.tenant, each.job, each.sequence, each.time, each.entry) for each in lines]
        database.executemany("insert into lines values (?, ?, ?, ?, ?)", rows)
        database.execute(f"copy lines to {_quoted(path)} (format parquet, compression zstd)")


def _read_parquet(path: Path) -> Iterator[Line]:
    with _duckdb().connect() as database:
        try:
            found = database.execute(f"select * from read_parquet({_quoted(path)})").fetchall()
        except Exception as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
    for tenant, job, sequence, time, entry in found:
        yield Line(tenant, job, sequence, time, entry)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise ExtraMissing(
            "archives in Parquet need the extra 'archive': pip install 'natsmesh[archive]', or write JSON lines: "
            "--format jsonl"
        ) from None
    return duckdb
