"""Frames of the client protocol, and the header block inside them."""

from __future__ import annotations

import re

from mesh.protocols.errors import InvalidName
from mesh.protocols.ports import Headers
from mesh.transport.headers import DESCRIPTION, STATUS

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_LINE_BREAKS = str.maketrans({"\r": " ", "\n": " "})
_VERSION = "NATS/1.0"


def publish_frame(subject: bytes, reply: bytes, block: bytes, data: bytes) -> bytes:
    """PUB, or HPUB where there is a header `block` (from `encode_headers`)."""
    if block:
        middle, size = reply + b" " if reply else b"", len(block)
        return b"HPUB %b %b%d %d\r\n%b%b\r\n" % (subject, middle, size, size + len(data), block, data)
    if reply:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(data), data)
    return b"PUB %b %d\r\n%b\r\n" % (subject, len(data), data)


def subscribe_frame(subject: str, queue: str, sid: int) -> bytes:
    """SUB."""
    return f"SUB {subject} {queue} {sid}\r\n".encode() if queue else f"SUB {subject} {sid}\r\n".encode()


def unsubscribe_frame(sid: int) -> bytes:
    """UNSUB."""
    return b"UNSUB %d\r\n" % sid


def encode_headers(headers: Headers) -> bytes:
    """The header block; line breaks in values become blanks, so that a value can never end its line.

    Raises:
        InvalidName: a name that is no header name.
    """
    lines = [_VERSION]
    for name, value in headers.items():
        if not _HEADER_NAME.match(name):
            raise InvalidName(f"{name!r} cannot be the name of a header: use letters, digits and '-'")
        lines.append(f"{name}: {value.strip().translate(_LINE_BREAKS)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def decode_headers(block: bytes) -> dict[str, str]:
    """What a header block says; an inline status becomes the headers `Status` and `Description`."""
    first, *lines = block.decode("utf-8", "replace").split("\r\n")
    found: dict[str, str] = {}
    status, _, description = first[len(_VERSION) :].strip().partition(" ")
    if status:
        found[STATUS] = status
        if description:
            found[DESCRIPTION] = description
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return found


def rebuild_block(headers: Headers) -> bytes:
    """The block that `decode_headers` has read, or nats-py: what the server itself has written is not checked again."""
    status = " ".join(headers[name] for name in (STATUS, DESCRIPTION) if name in headers)
    lines = [f"{_VERSION} {status}" if status else _VERSION]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in (STATUS, DESCRIPTION)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
