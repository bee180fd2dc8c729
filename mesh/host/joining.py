"""A host's own place in the mesh: a process named like the host, before any of its workers is started.

Its lease is also what makes the name unique over machines: a host that was not told its name takes another when it is held.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from mesh.host.host_record import HostRecord
from mesh.registry.lease import NameTaken
from mesh.settings import ServerTarget

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
    from mesh.client.mesh import Mesh

    async with AsyncExitStack() as stack:
        for _ in range(_TRIES):
            try:
                place = Mesh.connect(target, namespace=record.namespace, process=record.name, host=record.name)
                mesh = await stack.enter_async_context(place)
                break
            except NameTaken:
                if rename is None:
                    raise
                record = rename(record)
        else:
            raise NameTaken(f"{_TRIES} names were taken, the last one {record.name!r}: give one with --host-name")
        yield mesh, record
