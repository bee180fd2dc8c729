"""`Report`: what stands on `tel.<process>`: the telemetry events of a moment, many in a message; `Tune` asks for them."""

from __future__ import annotations

from typing import Any

import msgspec

AT_MOST = 60.0
"""Nobody listens longer without saying so again."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """One telemetry event: its name, when it happened (Unix seconds), and its fields, secrets blotted out."""

    event: str
    at: float
    fields: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True):
    """What a process tells of a moment, in order. `dropped` events before these did not fit and are lost."""

    events: list[Told]
    dropped: int = 0


class Tune(msgspec.Struct, frozen=True):
    """Somebody listens to `process` (empty: to everybody) for the next `seconds`, at most a minute."""

    process: str = ""
    seconds: float = 10.0
