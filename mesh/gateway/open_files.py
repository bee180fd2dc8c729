"""How many files a gateway may have open: each connection is one."""

from __future__ import annotations

import logging
import sys

SPARE = 1024
"""For everything that is no connection of a client: webhooks on their way, the mesh, files."""

logger = logging.getLogger("mesh.gateway")


def make_room(connections: int) -> None:
    """Raise this process's own limit of open files as far as so many connections need; a warning where that is not allowed."""
    if sys.platform == "win32":
        return
    import resource

    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError) as error:
        logger.warning("the limit of open files stays at %d, %d may be needed: %s", soft, needed, error)
        return
    if allowed < needed:
        logger.warning(
            "only %d files may be open, %d may be needed: raise the hard limit (`ulimit -Hn`)", allowed, needed
        )
