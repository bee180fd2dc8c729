"""What nobody could use, kept with everything that is known of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal

import msgspec

from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.references import Reference

MOST_HEADERS = 8 * 1024
MEANT_FOR = "Mesh-For"
"""The header of an event that is stored again for one durable handler, as `<agent>-<handler>`; the others pass it over."""


class Source(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where in its stream it stands. `received_at` is the server's timestamp, Unix seconds."""

    stream: str
    sequence: int
    subject: str
    received_at: float = 0.0
    attempts: int = 1


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One dead letter. `id` is the same each time it is written: readers count one.

    `payload` holds the bytes as they came: as text, in base64 where they are no text, or, where they are large, as the
    object that `ref` names. `job` is the id under which `job ls` shows it. At the stage `event`,
    `payload` is the stored event, `agent` and `handler` say whose durable handler failed, and `stamps` what that was.
    At the stage `job`, `payload` is its input, `epoch` and `sequence` say where its journal stood, `step` which step it did not
    get over, `stamps` who did that last, and `output` what came out of it that could not be used.
    """

    id: str
    stage: Literal["ingress", "job", "event"]
    reason: Fault
    tenant: str
    workflow: str = ""
    job: str = ""
    agent: str = ""
    handler: str = ""
    step: str = ""
    epoch: int = 0
    sequence: int = 0
    output: str = ""
    stamps: Stamps | None = None
    source: Source | None = None
    headers: dict[str, str] = {}
    payload: str = ""
    encoding: Literal["text", "base64"] = "text"
    ref: Reference | None = None

    def data(self) -> bytes:
        """The bytes as they came, where they are not an object of their own."""
        return base64.b64decode(self.payload) if self.encoding == "base64" else self.payload.encode()


class Closed(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a letter, once somebody has seen to it: written once, under the letter's id. `job` is what it was redriven
    as; `at` is Unix seconds."""

    letter: str
    how: Literal["redriven", "dropped"]
    by: str
    at: float
    reason: str = ""
    job: str = ""


def as_payload(data: bytes) -> tuple[str, Literal["text", "base64"]]:
    """Bytes as a letter carries them."""
    try:
        return data.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def some_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """As many headers as a letter has room for."""
    kept: dict[str, str] = {}
    room = MOST_HEADERS
    for name, value in (headers or {}).items():
        room -= len(name) + len(value)
        if room < 0:
            kept["…"] = "more headers were left out"
            break
        kept[name] = value
    return kept
