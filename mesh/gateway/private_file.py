"""`PrivateFile`: one secret in a file that only its owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from mesh.settings.errors import BadSettings


class PrivateFile:
    """A secret, made by `make` when it is first read and there is none. What it holds never appears in a message."""

    def __init__(self, path: Path, make: Callable[[], str]) -> None:
        self.path = path
        self._make = make

    def read(self) -> str:
        """The secret. Two that read it first at the same time get the same one.

        Raises:
            BadSettings: others can read the file, or it is empty, or cannot be read or made.
        """
        try:
            if not self.path.exists():
                self._create()
            return self._checked()
        except OSError as error:
            raise BadSettings(f"{self.path} cannot be used: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise BadSettings(f"{self.path} is not text: remove it, and a new one is made") from None

    def _checked(self) -> str:
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if mode & 0o077:
            raise BadSettings(
                f"{self.path} can be read by others (mode {mode:o}): remove it, and a new one is made, or `chmod 600` it"
            )
        text = self.path.read_text("utf-8").strip()
        if not text:
            raise BadSettings(f"{self.path} is empty: remove it, and a new one is made")
        return text

    def _create(self) -> None:
        """Whole or not at all: written beside it, then given its name unless somebody was faster."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        write_private(draft, self._make() + "\n")
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return
        finally:
            draft.unlink()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, over whatever is there."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
