"""What is on the disk for good: there after a power cut, too."""

from __future__ import annotations

import os
from pathlib import Path


def synced(path: Path) -> None:
    """All that was written to this file, or was given a name in this folder, is on the disk when this returns.

    Raises:
        OSError: the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_whole(path: Path, data: bytes) -> None:
    """Write a file over whatever is there: whole or not at all, and for good when this returns.

    Raises:
        OSError: the disk does not take it; what was there stays.
    """
    new = Path(f"{path}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    synced(path.parent)
