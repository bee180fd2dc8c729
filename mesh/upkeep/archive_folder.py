"""`ArchiveFolder`: the archives of one namespace on disk. `<tenant>/<name>` holds entries of many jobs, `<tenant>/<name>.json` says which.

The second is written last, once the first has been read back: an archive without it is what a crash left, and is removed by
the next run. One run at a time works on a folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mesh.protocols.errors import BadPayload, Refused, UnknownJob
from mesh.protocols.job_facts import JobStatus
from mesh.protocols.naming.names import check_name
from mesh.server.file_lock import FileLock
from mesh.upkeep.archive_lines import SUFFIX, Line, read_lines, write_lines
from mesh.upkeep.durable import put_whole, synced
from mesh.upkeep.policy import Format

INDEX = ".json"
_OURS = re.compile(r"(tmp_)?\d{8}T\d{6}\.\d+-.+\.(jsonl\.gz|parquet)(\.json(\.new)?)?\Z")
"""What archives, their indexes, and what a crash leaves of them are called: nothing else in the folder is read or removed."""


class BadArchive(BadPayload):
    """An archive is missing, damaged, or cannot be written. The message says which, and what to do."""

    code = "bad-archive"


class ArchivedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job of an archive. `digest` is that of its lines; `objects` are those that its entries name."""

    id: str
    tenant: str
    workflow: str
    state: JobStatus
    entries: int
    last: int
    ended: float
    digest: str
    key: str = ""
    objects: tuple[str, ...] = ()


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What one archive holds; `made` in Unix seconds."""

    archive: str
    made: float
    jobs: tuple[ArchivedJob, ...]


class ArchiveFolder:
    """One folder of archives."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else works on the folder meanwhile.

        Raises:
            Refused: somebody does. BadArchive: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "turn.lock")
            if not lock.acquire(timeout=0.0):
                raise Refused(f"another `mesh archive` works on {self.path}: wait for it")
        except OSError as error:
            raise BadArchive(f"{self.path} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def write(self, name: str, jobs: Sequence[ArchivedJob], lines: Iterable[Line], form: Format, made: float) -> Index:
        """Write an archive of one tenant, and read it back. `name` without suffix. When this returns it is there for good.

        Raises:
            BadArchive: the disk does not take it, or does not give back what was written; there is no archive then.
            ExtraMissing: Parquet needs the extra.
        """
        index = Index(archive=f"{jobs[0].tenant}/{name}{SUFFIX[form]}", made=made, jobs=tuple(jobs))
        path = self.path / index.archive
        try:
            path.parent.mkdir(exist_ok=True)
            write_lines(path, lines, form)
            self.verify(index)
            put_whole(Path(f"{path}{INDEX}"), msgspec.json.format(msgspec.json.encode(index), indent=1))
            synced(self.path)
        except OSError as error:
            raise BadArchive(
                f"{path} cannot be written: {error.strerror}; nothing was removed from the mesh"
            ) from error
        return index

    def verify(self, index: Index) -> None:
        """Read an archive through.

        Raises:
            BadArchive: it is not what its index says.
        """
        digests: dict[str, JobDigest] = {}
        for line in self._lines(index.archive):
            digests.setdefault(line.job, JobDigest()).add(line)
        found = {job: (each.hexdigest(), each.count) for job, each in digests.items()}
        if found != {each.id: (each.digest, each.entries) for each in index.jobs}:
            raise BadArchive(f"{self.path / index.archive} does not hold what was written to it: nothing was removed")

    def indexes(self, tenant: str = "*") -> list[Index]:
        """What every archive holds, the oldest first.

        Raises:
            BadArchive: one cannot be read.
        """
        where = tenant if tenant == "*" else check_name(tenant, "tenant")
        found = [_read_index(path) for path in self._files(where) if path.name.endswith(INDEX)]
        return sorted(found, key=lambda each: (each.made, each.archive))

    def latest(self, tenant: str) -> Index | None:
        """What the archive of a tenant that was written last holds: names begin with the time."""
        paths = [path for path in self._files(check_name(tenant, "tenant")) if path.name.endswith(INDEX)]
        return _read_index(paths[-1]) if paths else None

    def find(self, job: str) -> tuple[Index, ArchivedJob]:
        """The job of that id, or whose id begins so; where it was archived last.

        Raises:
            UnknownJob: there is none, or there are several.
        """
        near = {each.id: (index, each) for index in self.indexes() for each in index.jobs if each.id.startswith(job)}
        if job in near or len(near) == 1:
            return near.get(job) or next(iter(near.values()))
        if near:
            raise UnknownJob(f"{job!r} begins the ids of {len(near)} archived jobs: write more of it")
        raise UnknownJob(f"no job {job!r} is archived in {self.path}: `mesh archive ls` lists them")

    def entries(self, index: Index, job: str) -> list[Line]:
        """The entries of one job, in order."""
        return [line for line in self._lines(index.archive) if line.job == job]

    def clean(self) -> list[str]:
        """Remove what a crash left half written; the names of that."""
        gone = [
            path for path in self._files("*") if not path.name.endswith(INDEX) and not Path(f"{path}{INDEX}").exists()
        ]
        for path in gone:
            path.unlink()
        return [str(path.relative_to(self.path)) for path in gone]

    def remove(self, tenant: str) -> int:
        """Remove every archive of a tenant, for good; how many those were. Again: 0."""
        indexes = self.indexes(tenant)
        for path in reversed(self._files(check_name(tenant, "tenant"))):
            path.unlink()  # the index first: what is left of a crash has none
        place = self.path / tenant
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
        return len(indexes)

    def _files(self, tenant: str) -> list[Path]:
        """The files of a tenant that are ours, by name: somebody may have named a folder in which other things are, too."""
        return sorted(path for path in self.path.glob(f"{tenant}/*") if _OURS.match(path.name))

    def _lines(self, archive: str) -> Iterator[Line]:
        path = self.path / archive
        try:
            yield from read_lines(path)
        except (OSError, EOFError, ValueError, msgspec.MsgspecError) as error:
            raise BadArchive(f"{path} cannot be read: {error}") from error


class JobDigest:
    """The digest of one job's lines, line by line."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()

    def add(self, line: Line) -> None:
        """The next one."""
        self.count += 1
        self._digest.update(msgspec.json.encode(line) + b"\n")

    def hexdigest(self) -> str:
        """So far, in hexadecimal."""
        return self._digest.hexdigest()


def _read_index(path: Path) -> Index:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadArchive(f"{path} cannot be read: {error}") from error
