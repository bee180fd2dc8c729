"""`--reload`: which processes must be started anew because the code that they loaded has changed on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable

Stamp = tuple[int, int]


class ChangedFiles:
    """Remembers files as they were seen last. A file that is gone for a moment, as while an editor saves, is no change yet."""

    def __init__(self) -> None:
        self._seen: dict[str, Stamp] = {}

    def learn(self, files: Iterable[str]) -> None:
        """Remember how these files are now, unless they are known already."""
        for file in files:
            if file not in self._seen and (stamp := _stamp(file)) is not None:
                self._seen[file] = stamp

    def look(self, files: Iterable[str]) -> set[str]:
        """Which of the files have changed since they were last looked at; a file that is new here has not."""
        changed = set()
        for file in files:
            stamp = _stamp(file)
            if stamp is None:
                continue
            if self._seen.setdefault(file, stamp) != stamp:
                changed.add(file)
                self._seen[file] = stamp
        return changed


def _stamp(file: str) -> Stamp | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
