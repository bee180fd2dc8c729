"""In which order streams are copied while the mesh goes on, and why the copies fit together.

Each copy is of one moment, and those moments differ. Whatever is handed from stream to stream must be found in a backup at
least once, and twice is harmless, because every reader tells what it has seen already. So

1. **feeds** (IN, EVT), with what their consumers have done: what a consumer has acked has been journaled by then, and the
   journals are copied later. A job handed in meanwhile is in no feed, and in the journals it may be.
2. **journals** (JOB_*).
3. **the rest** (INBOX, TIM, DLQ, …), without what their consumers have done, so that all of it is delivered again: what was
   said to a job and is journaled already is known by its sequence, and no journal names one that is not in the copy. A letter
   or a notice is written before the entry that relies on it.
4. **buckets** on disk: an effect that was done is known to be done, whether or not its step has ended in the journal.
5. **objects**: they are put before the entry that names them.

What is replaced while its stream is copied may be in no copy: `rewritten.py` has it saved beside.

A journal may name a message of a feed that came after the feed's copy. `Saved.reached` is where the feed stood once the
journals were copied; a restore takes its sequences up to there, so that none is ever given twice.

A timer that came due and was acked between 2 and 3 is in neither: `missed_timers.py` finds the jobs that wait for one, and
wakes them.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.protocols.ports import Store
from mesh.protocols.snapshots import Kept
from mesh.protocols.subjects import Subjects

FEEDS = ("IN", "EVT")
JOURNALS = "JOB"
MARKER = "RESTORING"
"""The stream that is there while a restore is under way, or was interrupted."""


def prefix(subjects: Subjects) -> str:
    """What the name of every stream of the mesh begins with."""
    return subjects.stream("X").removesuffix("X")


async def has_jobs(store: Store, subjects: Subjects) -> bool:
    """Whether anybody ever hosted a workflow in this namespace, on this server: then the streams of jobs are there."""
    return bool(await store.streams(subjects.stream(JOURNALS)))


def in_order(subjects: Subjects, kept: Iterable[Kept]) -> list[Kept]:
    """What is to be saved, in the order in which it is: everything on disk, but no bucket that nobody ever wrote to: every
    client makes that of the policies, and so there is one where there is no mesh yet."""
    marker = subjects.stream(MARKER)
    return sorted(
        (
            each
            for each in kept
            if each.state.storage == "file" and each.state.name != marker and (each.kind != "bucket" or each.state.last)
        ),
        key=lambda each: (_rank(subjects, each), each.state.name),
    )


def is_feed(subjects: Subjects, kept: Kept) -> bool:
    """Whether it is taken first, and with what its consumers have done."""
    return kept.kind == "stream" and kept.state.name in [subjects.stream(each) for each in FEEDS]


def _rank(subjects: Subjects, kept: Kept) -> int:
    if kept.kind != "stream":
        return 3 if kept.kind == "bucket" else 4
    if is_feed(subjects, kept):
        return 0
    return 1 if kept.state.name.startswith(subjects.stream(JOURNALS)) else 2
