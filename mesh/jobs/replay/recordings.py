"""Journals in files, a line an entry: to be replayed later, elsewhere, or by the tests of every release to come.

    {"tenant": "default", "job": "j…", "sequence": 3, "time": 1770000000.5, "entry": {…}}
    {"object": "sha256:…", "data": "<base64>"}

The lines of an archive have the same fields, with the entry as a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mesh.protocols.errors import BadPayload, JournalCorrupt
from mesh.protocols.job_events import decode_entry, encode_entry
from mesh.protocols.job_state import Recorded


class _Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    tenant: str = ""
    job: str = ""
    sequence: int = 0
    time: float = 0.0
    entry: msgspec.Raw = msgspec.Raw(b"null")
    object: str = ""
    data: bytes = b""


@dataclass
class Recording:
    """The entries of some jobs, oldest first, and the objects of their large values, by digest."""

    journals: dict[str, list[Recorded]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    async def fetch(self, digest: str) -> bytes:
        """The object behind a digest.

        Raises:
            KeyError: it was not recorded.
        """
        return self.objects[digest]

    def add(self, job: str, sequence: int, time: float, entry: bytes) -> None:
        """One more entry, as it was stored.

        Raises:
            JournalCorrupt: it is none.
        """
        self.journals.setdefault(job, []).append(Recorded(decode_entry(entry), sequence, time))


def read_recording(path: Path) -> Recording:
    """What a file holds.

    Raises:
        BadPayload: it cannot be read, or a line is none of a recording; the message says which.
    """
    recording = Recording()
    try:
        for number, text in enumerate(path.read_bytes().splitlines(), 1):
            if text.strip():
                _take(recording, msgspec.json.decode(text, type=_Line), f"{path}, line {number}")
    except OSError as error:
        raise BadPayload(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.MsgspecError, ValueError, JournalCorrupt) as error:
        raise BadPayload(f"{path} is no recording of journals: {error}") from None
    if not recording.journals:
        raise BadPayload(f"{path} holds no journal")
    return recording


def write_recording(path: Path, records: Iterable[Recorded], objects: Mapping[str, bytes]) -> None:
    """A new file with one job in it."""
    lines = [
        _Line(
            tenant=each.entry.tenant,
            job=each.entry.job,
            sequence=each.sequence,
            time=each.time,
            entry=msgspec.Raw(encode_entry(each.entry)),
        )
        for each in records
    ]
    lines += [_Line(object=digest, data=data) for digest, data in objects.items()]
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in lines))


def _take(recording: Recording, line: _Line, where: str) -> None:
    if line.object:
        if line.object != f"sha256:{hashlib.sha256(line.data).hexdigest()}":
            raise ValueError(f"{where}: the object is not the one that its digest names")
        recording.objects[line.object] = line.data
        return
    entry = bytes(line.entry)
    text = msgspec.json.decode(entry, type=str).encode() if entry.startswith(b'"') else entry
    recording.add(line.job, line.sequence, line.time, text)
