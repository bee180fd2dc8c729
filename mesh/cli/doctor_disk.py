"""What `mesh doctor` looks at on this machine's disk: room for the embedded server's store, and how long a write takes to be
durable there.

    disk    fail below 200 MB free, warn below 1 GB or 10 %
    fsync   warn above 10 ms, the median of 15: every journaled step waits for one
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from pathlib import Path

from mesh.cli.doctor_finding import Finding, broken, fine, weak
from mesh.clock import SystemClock
from mesh.protocols.ports import Clock
from mesh.settings.folder import MeshFolder

GIGABYTE = 1024**3
NONE_LEFT = 200 * 1024**2
LITTLE = GIGABYTE
LITTLE_SHARE = 0.10
SLOW = 0.010
ROUNDS = 15
BLOCK = 4096


def disk_checks(folder: MeshFolder) -> list[Finding]:
    """Both, the second only where there is a folder to write to."""
    place = folder.store if folder.store.exists() else folder.path.parent
    usage = shutil.disk_usage(place)
    found = [disk_finding(usage.free, usage.total, folder.store)]
    return [*found, fsync_finding(folder.path, SystemClock())] if folder.path.is_dir() else found


def disk_finding(free: int, total: int, store: Path) -> Finding:
    """Whether there is room. In bytes."""
    found = f"{free / GIGABYTE:.1f} GB of {total / GIGABYTE:.0f} GB free for {store}"
    cure = "make room, or archive ended jobs (`mesh archive run`): JetStream refuses to store when the disk is full"
    if free < NONE_LEFT:
        return broken("disk", found, cure)
    if free < LITTLE or free < total * LITTLE_SHARE:
        return weak("disk", found, cure)
    return fine("disk", found)


def fsync_finding(folder: Path, clock: Clock) -> Finding:
    """How long a small write takes until it is on the disk."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="doctor-") as file:
            median = statistics.median(_sync_once(file.fileno(), clock) for _ in range(ROUNDS))
    except OSError as error:
        return weak("fsync", f"cannot be measured in {folder}: {error.strerror}", "make the folder writable")
    found = f"{median * 1000:.2f} ms in {folder}"
    if median > SLOW:
        return weak(
            "fsync", found, "each durable step waits for one: a disk with a write cache that survives a power cut"
        )
    return fine("fsync", found)


def _sync_once(descriptor: int, clock: Clock) -> float:
    began = clock.monotonic()
    os.write(descriptor, bytes(BLOCK))
    os.fsync(descriptor)
    return clock.monotonic() - began
