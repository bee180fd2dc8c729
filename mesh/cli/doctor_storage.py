"""What `mesh doctor` looks at in the server's storage: how full it is, which streams are, and whether a restore was broken off.

storage   of what the account may store: fail from 95 %, warn from 80 %
streams   of what each may have: warn from 80 %; what a full one does stands beside it
writes    fail where the embedded server's log tells of a write that failed: to that stream it writes no more until it is restarted
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.cli.doctor_finding import Finding, broken, fine, weak
from mesh.host.manifest import parse_size
from mesh.protocols.errors import MeshError
from mesh.protocols.ports import StreamState
from mesh.protocols.subjects import Subjects
from mesh.server.configuration import FILE
from mesh.settings.folder import MeshFolder

if TYPE_CHECKING:
    from mesh.transport.connection import Connection

MEGABYTE = 1024**2
FULL = 0.95
NEARLY = 0.80
LOOKED_AT = 16 * MEGABYTE
"""The end of the server's log that is searched."""
_STARTED = b"Starting nats-server"
_GIVEN_UP = re.compile(rb"JetStream stream '(?:[^'>]+> )?([^']+)' critical write error: .*?([^:\n]+)$", re.MULTILINE)
UNKNOWN = "what the server may store cannot be seen from here"


def storage_finding(used: int, limit: int | None) -> Finding:
    """How much of what may be stored is. In bytes; no limit that is known: None."""
    if limit is None:
        return fine("storage", f"{used / MEGABYTE:.1f} MB stored; {UNKNOWN}")
    share = used / limit
    found = f"{used / MEGABYTE:.1f} MB stored, {share:.0%} of {limit / MEGABYTE:.0f} MB"
    cure = "archive ended jobs (`mesh archive run`), sweep objects (`mesh archive sweep`), or allow more"
    if share >= FULL:
        return broken("storage", found, f"{cure}: nothing can be stored once it is full")
    return weak("storage", found, cure) if share >= NEARLY else fine("storage", found)


def streams_finding(streams: Sequence[StreamState]) -> Finding:
    """Which streams are near the most they may have."""
    limited = [each for each in streams if each.limit]
    near = [each for each in limited if each.size / (each.limit or 1) >= NEARLY]
    if not near:
        return fine("streams", f"{len(streams)} of this mesh, {len(limited)} with a limit, none near it")
    told = ", ".join(f"{each.name} {each.size / (each.limit or 1):.0%}" for each in near)
    return weak("streams", told, "the oldest messages of a full stream go first: raise its max_bytes, or keep less")


def limit_of(info: dict[str, Any], folder: MeshFolder | None) -> int | None:
    """What may be stored: the account's limit, or the embedded server's own."""
    limit = info.get("limits", {}).get("max_storage", -1)
    if limit > 0:
        return int(limit)
    if folder is None or not (folder.server / FILE).exists():
        return None
    found = re.search(r"max_file_store:\s*\"?(\d+\w*)", (folder.server / FILE).read_text("utf-8"))
    return parse_size(found[1]) if found else None


def writes_finding(log: Path) -> Finding | None:
    """Which streams the embedded server has stopped to write to since its start, as its log tells; None where to none.

    A full disk is the usual reason. There is no question that the server would answer with it: while it lasts, publishing to
    such a stream gets no answer, and its state looks as ever.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOOKED_AT))
            _, _, since = file.read().rpartition(_STARTED)
    except FileNotFoundError:
        return None
    given_up = {stream.decode(): why.decode().strip() for stream, why in _GIVEN_UP.findall(since)}
    if not given_up:
        return None
    told = ", ".join(f"{stream} ({why})" for stream, why in sorted(given_up.items()))
    return broken(
        "writes", f"the server writes no more to {told}",
        "make room, then `mesh server stop` and `mesh server start`: room alone does not bring it back",
    )  # fmt: skip


async def stream_checks(connection: Connection, namespace: str) -> list[Finding]:
    """What can be seen of the streams of a namespace."""
    subjects = Subjects(namespace)
    try:
        streams = await connection.store.streams(subjects.stream("X").removesuffix("X"))
    except MeshError as error:
        return [weak("streams", f"cannot be listed: {error}", "allow $JS.API.STREAM.LIST to this user")]
    found = [streams_finding(streams)]
    if any(each.name == subjects.stream("RESTORING") for each in streams):
        found.append(
            broken("restore", "a restore of this namespace was broken off", "run `mesh restore DIR --replace` again")
        )
    return found
