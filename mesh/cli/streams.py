"""The three streams of a command, also where whoever started it has closed one (`>&-`, a bare service manager)."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_streams() -> None:
    """Open those of stdin, stdout and stderr that are closed on nothing: else the next file or socket would become one of them, and
    get what is printed, and the event loop ends a process that closes one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115


def lead_nowhere(stream: TextIO) -> None:
    """Have nothing take what is printed there from now on, and what could not be printed: Python would try that again at the end, and
    end with exit code 120."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
