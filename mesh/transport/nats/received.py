"""From what arrived to the `Message` that a handler gets: text where text is wanted, headers read when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mesh.protocols.ports import Message
from mesh.transport.nats.frames import decode_headers

_NO_RESPONDERS = b"NATS/1.0 503"


class BlockHeaders(Mapping[str, str]):
    """The headers in a block, taken apart on first use: most receivers never look."""

    __slots__ = ("_found", "block")

    def __init__(self, block: bytes) -> None:
        self.block = block
        self._found: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> dict[str, str]:
        if self._found is None:
            self._found = decode_headers(self.block)
        return self._found


def message_of(subject: bytes, reply: bytes, block: bytes, data: bytes) -> Message:
    """What the handler is given."""
    return Message(
        subject.decode("utf-8", "replace"),
        data,
        reply.decode("utf-8", "replace") if reply else "",
        BlockHeaders(block) if block else None,
    )


def means_nobody(block: bytes, data: bytes) -> bool:
    """Whether this is the server's own answer that nobody listens."""
    return not data and block.startswith(_NO_RESPONDERS)
