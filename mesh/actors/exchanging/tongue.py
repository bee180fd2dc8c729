"""`Tongue`: which version of the wire this process speaks, so that two releases can stand side by side.

A release writes its own version and reads that and the one before. While a process of an earlier release is in the directory,
everybody speaks its version: what is called to all, or stored, must be read by all. Answers follow the question instead.
"""

from __future__ import annotations

from mesh.protocols.envelope import READABLE, VERSION
from mesh.registry.directory import Directory
from mesh.registry.listing import Change


class Tongue:
    """The newest version that everyone who is there reads."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._earlier: dict[str, int] = {}
        self.version = VERSION
        directory.on_change(self._changed)

    def _changed(self, change: Change) -> None:
        if change.kind == "process-up":
            self._arrived(change.process)
        elif change.kind == "process-down" and self._earlier.pop(change.process, None) is not None:
            self._agree()

    def _arrived(self, process: str) -> None:
        lease = self._directory.process(process)
        if lease is not None and lease.release.isdecimal() and int(lease.release) < VERSION:
            self._earlier[process] = int(lease.release)
            self._agree()

    def _agree(self) -> None:
        self.version = max(READABLE[0], min(self._earlier.values(), default=VERSION))


def answer_in(asked: int) -> int:
    """The version in which a message of version `asked` is answered: its own, or ours if that is lower."""
    return min(asked, VERSION)
