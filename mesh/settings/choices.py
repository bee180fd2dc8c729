"""What the environment chooses of how the mesh does its work, the same in every folder: `MESH_WIRE` and its like."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mesh.settings.errors import BadSettings


def wire_choice(environ: Mapping[str, str] | None = None) -> str:
    """`MESH_WIRE`: `fast` (also when nothing is said) for our own message path, `plain` for nothing but nats-py's.

    Both do the same; `plain` is for finding out whether something odd is our doing, and for releases of nats-py that the
    fast path does not know, where it is taken anyway.

    Raises:
        BadSettings: it is neither.
    """
    env = os.environ if environ is None else environ
    found = env.get("MESH_WIRE") or "fast"
    if found not in ("fast", "plain"):
        raise BadSettings(f"MESH_WIRE: {found!r} is no wire; write fast or plain")
    return found


def batches_choice(environ: Mapping[str, str] | None = None) -> bool:
    """`MESH_EVENT_BATCHES`: `on` (also when nothing is said): unstored events that follow one another leave together; `off`:
    each is a message of its own. Both do the same.

    Raises:
        BadSettings: it is neither.
    """
    return _on_or_off("MESH_EVENT_BATCHES", environ)


def quiet_awards_choice(environ: Mapping[str, str] | None = None) -> bool:
    """`MESH_QUIET_AWARDS`: `on` (also when nothing is said): an award that goes well makes no auction; `off`: each does. Both
    do the same.

    Raises:
        BadSettings: it is neither.
    """
    return _on_or_off("MESH_QUIET_AWARDS", environ)


def replicas_choice(environ: Mapping[str, str] | None = None) -> int | None:
    """`MESH_REPLICAS`: on how many servers of a cluster each stream and bucket is kept, 1 to 5. None (`auto`, also when
    nothing is said): on 3 where the server belongs to a cluster, on 1 where it stands alone.

    Raises:
        BadSettings: it is no such number.
    """
    found = (os.environ if environ is None else environ).get("MESH_REPLICAS") or "auto"
    if found == "auto":
        return None
    if found not in ("1", "2", "3", "4", "5"):
        raise BadSettings(f"MESH_REPLICAS: {found!r} is no number of replicas; write 1, 3 or 5, or auto")
    return int(found)


def _on_or_off(name: str, environ: Mapping[str, str] | None) -> bool:
    found = (os.environ if environ is None else environ).get(name) or "on"
    if found not in ("on", "off"):
        raise BadSettings(f"{name}: {found!r} is neither on nor off")
    return found == "on"
