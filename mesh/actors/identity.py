"""`Identity`: who a process is; `Connected`: what connects it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from mesh.protocols.ports import Bus, Store


class Connected(Protocol):
    """The two handles of a connection."""

    bus: Bus
    store: Store


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this process is. `process` is its token in subjects, unique in the mesh; `incarnation` is new at each start."""

    process: str
    host: str = "localhost"
    pid: int = 0
    incarnation: str = ""
    release: str = ""
