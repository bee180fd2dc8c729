"""`Reserves`: whether a process could still open a file and take some memory. One that cannot will not get well by itself.

Whatever leaks, leaks on: without a file descriptor there is no reconnect, without memory no answer, and the process looks
alive all the same. So it is asked at each heartbeat; one that has had nothing left `TIMES` times in a row is to end, and to be
started anew.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

TIMES = 3
"""Looks in a row at which nothing was left."""
SOME = 1 << 20
"""Bytes of memory that must be there."""
_NO_MORE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Reserves:
    """`look` as often as the heart beats. `take` is what is tried: it raises what the system says."""

    def __init__(self, take: Callable[[], None] | None = None) -> None:
        self._take = take or _take_some
        self._in_a_row = 0

    def look(self) -> str:
        """Why the process cannot go on, or nothing."""
        why = self._missing()
        self._in_a_row = self._in_a_row + 1 if why else 0
        return why if self._in_a_row >= TIMES else ""

    def _missing(self) -> str:
        try:
            self._take()
        except MemoryError:
            return "no memory left"
        except OSError as error:
            if error.errno not in _NO_MORE:
                raise
            return f"no file descriptors left: {error.strerror}" if error.errno != errno.ENOMEM else "no memory left"
        return ""


def _take_some() -> None:
    """Open one file and take some memory, and give both back."""
    os.close(os.open(os.devnull, os.O_RDONLY))
    bytearray(SOME)
