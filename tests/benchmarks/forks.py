"""A process made by `fork`: everything that is imported is there already, which saves the half second a Python start takes.

Fork before there is a loop or a thread: neither survives it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any


def fork(work: Callable[..., None], *arguments: Any) -> int:
    """Do the work in a process of its own, which ends with it; its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        work(*arguments)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001 - nothing may get out of here: the caller's own code is above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
