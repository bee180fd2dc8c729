"""`BackupFolder`: a backup on disk, one file a stream and `backup.json`, which says what they are. Beside a stream of which
something was rewritten while it was copied, a file with a line of JSON for each of those.

`backup.json` is written last: a folder without it is no backup, whatever else is in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mesh.protocols.errors import BadPayload
from mesh.protocols.snapshots import Kind, Shape
from mesh.upkeep.durable import synced
from mesh.upkeep.rewritten import Rewritten

FORMAT = 2
READABLE = (1, FORMAT)
"""Format 1 has no `later`."""
SUMMARY = "backup.json"
PIECE = 128 * 1024


class BadBackup(BadPayload):
    """The folder is no backup, or a damaged one, or not one for this. The message says which file, and what to do."""

    code = "bad-backup"


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """What came after the copy of a stream in place of something in it."""

    file: str
    sha256: str
    size: int
    messages: int


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of a backup. `reached` is the last sequence it had given when the journals had been copied."""

    kind: Kind
    file: str
    sha256: str
    size: int
    messages: int
    reached: int
    consumers: bool
    shape: Shape
    later: Later | None = None

    @property
    def name(self) -> str:
        """The stream's name."""
        return str(self.shape.config["name"])

    @property
    def last(self) -> int:
        """The last sequence in the copy."""
        return int(self.shape.state.get("last_seq", 0))


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of. Times in Unix seconds; everything that was acknowledged before `began` is in it."""

    format: int
    namespace: str
    server_version: str
    protocol: int
    began: float
    ended: float
    streams: tuple[Saved, ...]


class BackupFolder:
    """One folder. Made by `create` for writing, by `open` for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> BackupFolder:
        """An empty folder to write to.

        Raises:
            BadBackup: there is something in it already, or it cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise BadBackup(f"{path} is not empty: name a new folder for each backup")
        except OSError as error:
            raise BadBackup(f"{path} cannot be written: {error.strerror}") from error
        return cls(path)

    def writer(self, stream: str) -> FileWriter:
        """A new file for one stream."""
        return FileWriter(self.path / f"{stream}.snapshot")

    def keep(self, stream: str, later: Sequence[Rewritten]) -> Later | None:
        """Write down what came after the copy of the stream, if something did."""
        if not later:
            return None
        writer = FileWriter(self.path / f"{stream}.later")
        for each in later:
            writer.write(msgspec.json.encode(each) + b"\n")
        digest = writer.close()
        return Later(file=writer.path.name, sha256=digest, size=writer.size, messages=len(later))

    def later(self, saved: Saved) -> Iterator[Rewritten]:
        """What came after the copy of the stream, in order."""
        if saved.later is not None:
            with self._reading(saved.later) as file:
                for line in file:
                    yield msgspec.json.decode(line, type=Rewritten)

    def conclude(self, summary: Summary) -> None:
        """From now on it is a backup."""
        whole = FileWriter(self.path / f"{SUMMARY}.new")
        whole.write(msgspec.json.format(msgspec.json.encode(summary), indent=2))
        whole.close()
        whole.path.rename(self.path / SUMMARY)
        synced(self.path)

    def summary(self) -> Summary:
        """What it is of.

        Raises:
            BadBackup: it is none, or of another release.
        """
        path = self.path / SUMMARY
        try:
            found: Any = msgspec.json.decode(path.read_bytes())
            if found["format"] not in READABLE:
                raise BadBackup(f"{path} has format {found['format']}, this release reads formats up to {FORMAT}")
            return msgspec.convert(found, Summary)
        except FileNotFoundError:
            raise BadBackup(f"{self.path} is no backup: it has no {SUMMARY}, which `mesh backup` writes last") from None
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise BadBackup(f"{path} cannot be read: {error}") from error

    def verify(self, summary: Summary) -> None:
        """Read every file through.

        Raises:
            BadBackup: one is missing, or not as it was written.
        """
        files: list[Saved | Later] = [*summary.streams]
        files += [each.later for each in summary.streams if each.later is not None]
        for each in files:
            digest, size = hashlib.sha256(), 0
            for piece in self.pieces(each):
                digest.update(piece)
                size += len(piece)
            if (digest.hexdigest(), size) != (each.sha256, each.size):
                raise BadBackup(
                    f"{self.path / each.file} is damaged ({size} bytes, {each.size} were written; or another digest): "
                    "nothing was changed; use another backup"
                )

    def pieces(self, saved: Saved | Later) -> Iterator[bytes]:
        """The bytes of one file, such as a stream's copy."""
        with self._reading(saved) as file:
            while piece := file.read(PIECE):
                yield piece

    @contextmanager
    def _reading(self, saved: Saved | Later) -> Iterator[BinaryIO]:
        try:
            with (self.path / Path(saved.file).name).open("rb") as file:
                yield file
        except OSError as error:
            raise BadBackup(f"{self.path / saved.file} cannot be read: {error.strerror}") from error


class FileWriter:
    """A file that is written piece by piece, and its digest. Every method raises BadBackup when the disk does not take it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        with self._complaining():
            self._file = path.open("xb")

    def write(self, piece: bytes) -> None:
        """The next piece."""
        with self._complaining():
            self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def close(self) -> str:
        """All of it is on the disk when this returns; gives its digest in hexadecimal."""
        with self._complaining():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove it once it is closed: it is to be written anew."""
        with self._complaining():
            self.path.unlink()

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadBackup(f"{self.path} cannot be written: {error.strerror}; what is there is no backup") from error
