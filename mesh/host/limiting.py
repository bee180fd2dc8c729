"""Putting a process under the limits of its manifest: done by the process itself, before it loads anybody's code."""

from __future__ import annotations

import os
import resource

from mesh.host.manifest import Limits


def apply(limits: Limits) -> None:
    """Lower what this process may use. Again: limits only go down.

    Raises:
        OSError · ValueError: the system does not allow it.
    """
    if limits.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, max(limits.nice, os.getpriority(os.PRIO_PROCESS, 0)))
    if limits.open_files is not None:
        _lower(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.memory_bytes is not None:
        _lower(resource.RLIMIT_AS, limits.memory_bytes)


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (allowed, allowed))
