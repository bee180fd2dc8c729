"""A host's own place in the mesh: a process named like the host, before any of its workers is started.

Its lease is also what makes the name unique over machines: a host that was not told its name takes another when it is held.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from mesh.host.host_record import HostRecord
from mesh.registry.lease import NameTaken
from mesh.settings.target import ServerTarget

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

_TRIES = 20


@asynccontextmanager
async def joined(
    record: HostRecord, target: ServerTarget, rename: Callable[[HostRecord], HostRecord] | None
) -> AsyncIterator[tuple[Mesh, HostRecord]]:
    """The mesh, with the host's process in it, and the record with the name it was given in the end.

    `rename` gives a record with another name; None where the name was asked for.

    Raises:
        NameTaken: the name was asked for, and another living host has it; or every name tried was taken.
        Unavailable: the server is out of reach.
    """
    async with AsyncExitStack() as stack:
        for left in reversed(range(_TRIES)):
            try:
                place = taken_place(target, namespace=record.namespace, process=record.name, host=record.name)
                mesh = await stack.enter_async_context(place)
                break
            except NameTaken:
                if rename is None or not left:
                    raise
                record = rename(record)
        yield mesh, record


@asynccontextmanager
async def taken_place(target: ServerTarget, **about: Any) -> AsyncIterator[Mesh]:
    """The mesh, with this process's lease already taken. `about` goes to `Mesh.connect`.

    Raises:
        NameTaken: another living process has the name.
    """
    from mesh.client.mesh import Mesh

    async with Mesh.connect(target, **about) as mesh:
        await mesh.peer.registration.begin()
        yield mesh
