"""Waiting for the operating system where there is no event loop: every such wait is here, and has an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mesh.clock import SystemClock

Found = TypeVar("Found")


def wait_until(look: Callable[[], Found | None], timeout: float, pause: float = 0.01) -> Found | None:
    """Look until there is something true to see, and return it; None after `timeout` seconds. Blocks; looks at least once."""
    clock = SystemClock()
    ends = clock.monotonic() + timeout
    while not (found := look()):
        if clock.monotonic() >= ends:
            return None
        time.sleep(pause)
    return found
