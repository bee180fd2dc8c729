"""The port for saving streams whole and putting them back: sequences, timestamps and consumers stay as they were.

What keeps a mesh's data knows how to do that better than whoever reads and writes it; a mesh in memory keeps nothing, and has
no such port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

import msgspec

from mesh.protocols.ports import StreamState

Kind = Literal["stream", "bucket", "objects"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a mesh that is kept: a stream, a key-value bucket or an object store, and the stream that holds it."""

    kind: Kind
    state: StreamState


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of a stream when it hands it over: to be given back to it as it is."""

    config: dict[str, Any]
    state: dict[str, Any]

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the stream captures."""
        return tuple(self.config.get("subjects", ()))


class Snapshots(Protocol):
    """The server's own copies of streams."""

    async def version(self) -> str:
        """The server's version."""

    async def kept(self, prefix: str) -> list[Kept]:
        """Everything whose name begins with `prefix` (`mesh_default_`), in memory or on disk, by name."""

    async def take(self, stream: str, write: Callable[[bytes], None], *, consumers: bool) -> Shape:
        """Hand a copy of the stream to `write`, piece by piece, and say what it is. With `consumers`, what they have done
        is in it. The stream goes on meanwhile; the copy is of one moment.

        Raises:
            Unavailable: there is no such stream, or the server gave up in the middle: what was written is no copy.
        """

    async def put_back(self, shape: Shape, pieces: Callable[[], Iterable[bytes]]) -> StreamState:
        """Make the stream again from its copy; `pieces` gives it from the beginning each time it is called.

        Raises:
            Refused: something of that name or with its subjects is there, or the server cannot take it (replicas, space).
            Unavailable: the server was lost in the middle; nothing of the stream is there.
        """

    async def reshape(self, config: dict[str, Any]) -> None:
        """Give a stream this configuration, or make an empty one with it."""

    async def remove(self, stream: str) -> None:
        """Remove a stream with everything in it. Again: nothing happens."""
