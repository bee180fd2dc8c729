"""What a supervisor and its nursery say to each other: one message a packet. Births travel with three descriptors."""

from __future__ import annotations

import msgspec


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """Please fork a worker. With it come the descriptors of its channel, its stdout and its stderr."""

    number: int
    folder: str
    environment: dict[str, str]


class Born(msgspec.Struct, frozen=True, kw_only=True, tag="born"):
    """Said by the worker itself, once it stands on its own feet; without a pid by the nursery: it was not forked, and why."""

    number: int
    pid: int = 0
    error: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """It has ended, perhaps before it was born; `status` is negative for a signal."""

    number: int
    pid: int
    status: int


DESCRIPTORS = 3
LARGEST = 160 * 1024
"""Bytes of a message: a packet must fit the socket's buffer, or is refused as a whole."""
