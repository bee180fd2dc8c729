"""What we log in with from files: looked at before we dial, and read anew for every login, as it may be renewed meanwhile.

nats-py reads such a file line by line and never finds its end where the mark of the token is missing: it is given the lines.
"""

from __future__ import annotations

import re
from collections import UserString
from pathlib import Path

from mesh.transport.nats.library import Error

_MARKS = ("NATS USER JWT", "USER NKEY SEED")
_SECTION = re.compile(r"BEGIN ({}|{})[^\n]*\n\s*([^\s-]\S*)".format(*_MARKS))


class BadLogin(Error):
    """The file has no login in it. One of nats-py's errors: when it reconnects, it tries again after a pause."""


class CredentialsFile(UserString):
    """A token and the seed that proves that it is ours, in one file, which nats-py takes for a text."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def data(self) -> str:  # type: ignore[override]
        """What stands in the file now."""
        return self.read()

    def read(self) -> str:
        """The two lines that matter, behind their marks.

        Raises:
            BadLogin · OSError: no login, or the file cannot be read.
        """
        found = dict(_SECTION.findall(Path(self._path).read_text(errors="replace")))
        for mark in _MARKS:
            if mark not in found:
                raise BadLogin(f"{self._path} is no credentials file: it has no {mark}")
        _check(found[_MARKS[1]], self._path)
        return "".join(f"BEGIN {mark}\n{found[mark]}\n" for mark in _MARKS)


def check_seed(path: str) -> None:
    """Look whether the file is the seed of an nkey.

    Raises:
        BadLogin · OSError: it is not, or cannot be read.
    """
    _check(Path(path).read_text(errors="replace").strip(), path)


def _check(seed: str, path: str) -> None:
    import nkeys

    try:
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except nkeys.NkeysError as error:
        raise BadLogin(f"{path} has no valid nkey seed") from error
